import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { text } from "../text/en";
import { Account } from "./Account";
import { ThemeSwitch } from "./ThemeSwitch";

const PAGES = [
  ["/", text.nav.library],
  ["/new", text.nav.create],
  ["/playground", text.nav.playground],
  ["/help", text.nav.help],
] as const;

/** What stands around every page: navigation on the left, the page on the right. */
export function Shell({ children }: { children: ReactNode }) {
  const [here] = useLocation();
  return (
    <div className="shell">
      <a className="skip" href="#page">
        {text.skip}
      </a>
      <header className="side">
        <div className="brand">
          <img src="/studio/icon.svg" alt="" width="22" height="22" />
          {text.product}
        </div>
        <nav aria-label={text.product} style={{ display: "contents" }}>
          {PAGES.map(([path, label]) => (
            <Link
              key={path}
              href={path}
              className="nav"
              aria-current={isHere(path, here) ? "page" : undefined}
            >
              {label}
            </Link>
          ))}
        </nav>
        <div className="foot stack">
          <Account />
          <ThemeSwitch />
        </div>
      </header>
      <main id="page">{children}</main>
    </div>
  );
}

function isHere(path: string, here: string) {
  return path === "/" ? here === "/" || here.startsWith("/models") : here.startsWith(path);
}
