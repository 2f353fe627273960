import { useState, type ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useServerInfo } from "../api/server";
import { text } from "../text/en";
import { Account } from "./Account";
import { ConnectionBanner } from "./ConnectionBanner";
import { Icon, type IconName } from "./Icon";
import { ReadyToasts } from "./ReadyToasts";
import { SignInDialog } from "./SignInDialog";
import { ThemeSwitch } from "./ThemeSwitch";
import { Toasts } from "./Toasts";

const PAGES: [string, string, IconName, string?][] = [
  ["/", text.nav.library, "library"],
  ["/new", text.nav.create, "create"],
  ["/playground", text.nav.playground, "playground"],
  ["/prompts", text.nav.prompts, "prompts", "prompts"],
  ["/activity", text.nav.activity, "activity"],
  ["/help", text.nav.help, "help"],
];

/** What stands around every page: navigation on the left, the page on the right, messages over both. */
export function Shell({ children }: { children: ReactNode }) {
  const [isOpen, setOpen] = useState(false);
  const info = useServerInfo().data;
  return (
    <div className="shell">
      <a className="skip" href="#page">
        {text.skip}
      </a>
      <header className="side" data-open={isOpen || undefined}>
        <div className="side-inner">
          <div className="brand">
            <img src="/studio/icon.svg" alt="" width="22" height="22" />
            <span>{text.product}</span>
            <button
              type="button"
              className="button quiet only-narrow"
              aria-expanded={isOpen}
              aria-controls="pages"
              onClick={() => setOpen(!isOpen)}
            >
              <Icon name="menu" /> {text.nav.menu}
            </button>
          </div>
          <div className="folds" id="pages">
            <Pages features={info?.features} leave={() => setOpen(false)} />
            <div className="foot stack">
              {info?.device && <div className="small soft">{text.device(info.device.cores)}</div>}
              <Account />
              <ThemeSwitch />
            </div>
          </div>
        </div>
      </header>
      <main id="page" tabIndex={-1}>
        <ConnectionBanner />
        {children}
      </main>
      <SignInDialog />
      <ReadyToasts />
      <Toasts />
    </div>
  );
}

function Pages({ features, leave }: { features?: string[]; leave: () => void }) {
  const [here] = useLocation();
  return (
    <nav aria-label={text.nav.label}>
      {PAGES.filter(([, , , needs]) => !needs || !features || features.includes(needs)).map(
        ([path, label, icon]) => (
          <Link
            key={path}
            href={path}
            className="nav"
            aria-current={isHere(path, here) ? "page" : undefined}
            onClick={leave}
          >
            <Icon name={icon} /> {label}
          </Link>
        ),
      )}
    </nav>
  );
}

function isHere(path: string, here: string) {
  return path === "/" ? here === "/" || here.startsWith("/models") : here.startsWith(path);
}
