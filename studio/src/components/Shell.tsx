import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState, useSyncExternalStore } from "react";
import { Link, useLocation } from "wouter";
import { useMe, useServerInfo } from "../api/account";
import { isLost } from "../api/client";
import { Icon, type IconName, SelectField } from "./controls";
import { Account, SignInDialog } from "./SignIn";
import { text } from "./text";
import { ReadyToasts, Toasts } from "./toasts";

const PAGES: [string, string, IconName][] = [
  ["/", text.nav.library, "library"],
  ["/new", text.nav.create, "create"],
  ["/playground", text.nav.playground, "playground"],
  ["/prompts", text.nav.prompts, "prompts"],
  ["/activity", text.nav.activity, "activity"],
  ["/bases", text.nav.bases, "bases"],
  ["/accounts", text.nav.accounts, "accounts"],
  ["/help", text.nav.help, "help"],
];

/** The frame of every page: navigation, messages, the sign-in dialog. */
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
            <Pages leave={() => setOpen(false)} />
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

function Pages({ leave }: { leave: () => void }) {
  const [here] = useLocation();
  const isAdmin = useMe().data?.isAdmin === true;
  return (
    <nav aria-label={text.nav.label}>
      {PAGES.filter(([path]) => isAdmin || path !== "/accounts").map(([path, label, icon]) => (
        <Link
          key={path}
          href={path}
          className="nav"
          aria-current={isHere(path, here) ? "page" : undefined}
          onClick={leave}
        >
          <Icon name={icon} /> {label}
        </Link>
      ))}
    </nav>
  );
}

function isHere(path: string, here: string) {
  return path === "/"
    ? here === "/" || here.startsWith("/models") || here.startsWith("/compare")
    : here.startsWith(path);
}

/** A banner while the server cannot be reached and requests of this page are retried. */
function ConnectionBanner() {
  const cache = useQueryClient().getQueryCache();
  const message = useSyncExternalStore(
    (listener) => cache.subscribe(listener),
    () => {
      const shown = cache.getAll().filter((query) => query.isActive());
      if (!shown.some(({ state }) => isLost(state.fetchFailureReason))) return "";
      const hasJob = shown.some(({ queryKey }) => queryKey[0] === "operation"); // only open ones are polled
      return hasJob ? `${text.error.lost} ${text.error.lostJob}` : text.error.lost;
    },
  );
  return (
    <div role="status" className="banner-place">
      {message && <div className="banner">{message}</div>}
    </div>
  );
}

/** Light, dark or the system's theme; stored in this browser. */
function ThemeSwitch() {
  const [theme, show] = useState(chosenTheme);
  return (
    <SelectField
      label={text.theme.label}
      value={theme}
      isSmall
      change={(next) => {
        setTheme(next as Theme);
        show(next as Theme);
      }}
      options={THEMES.map((choice) => [choice, text.theme[choice]])}
    />
  );
}

const KEY = "tunery-theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function chosenTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === kept) ?? "system";
}

function setTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  showTheme(theme);
}

export function showTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
