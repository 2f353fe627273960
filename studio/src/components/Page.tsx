import { Component, type ReactNode, useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { useIsSignedIn } from "../api/account";
import { ApiError, isLost, needsSignIn } from "../api/client";
import { SignInNote } from "./SignIn";
import { text } from "./text";

type Props = {
  title: string;
  state?: string; // before the title in the tab, such as how far a job is
  actions?: ReactNode;
  beside?: ReactNode;
  children?: ReactNode;
};

/** A page and its heading, which gets the focus when the page opens. */
export function Page({ title, state, actions, beside, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, []);
  useEffect(() => {
    document.title = [state, title, text.product].filter(Boolean).join(" · ");
  }, [state, title]);
  return (
    <div className="page">
      <div className="row spread page-head">
        <div className="row">
          <h1 ref={heading} tabIndex={-1} dir="auto">
            {title}
          </h1>
          {beside}
        </div>
        {actions && <div className="row">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

/** One numbered section of a form. */
export function Section({
  id,
  number,
  title,
  children,
}: {
  id: string;
  number: number;
  title: string;
  children: ReactNode;
}) {
  return (
    <section className="card stack" aria-labelledby={id}>
      <h2 id={id} className="numbered" tabIndex={-1}>
        <span className="number-mark" aria-hidden="true">
          {number}
        </span>
        {title}
      </h2>
      {children}
    </section>
  );
}

/** An error in the server's words, with its code in small print; offers to sign in if that would help. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const wasSignedIn = useIsSignedIn();
  if (needsSignIn(error)) return <SignInNote why={wasSignedIn ? text.signIn.ended : text.signIn.key} />;
  const known = error instanceof ApiError && !isLost(error) ? error : undefined;
  const message = known?.message ?? text.error.unreachable;
  return (
    <div className="note bad" role="alert">
      <p className="limited">{message}</p>
      <div className="row small">
        {retry && <Button onPress={retry}>{text.error.again}</Button>}
        {known?.status && <span className="soft">{text.error.code(known.status)}</span>}
      </div>
    </div>
  );
}

/** What to do with work that was changed in another tab too: nothing is overwritten until that is chosen. */
export function ChangedElsewhere({ load, keepAsCopy }: { load: () => Promise<unknown>; keepAsCopy: () => void }) {
  return (
    <div className="note warn row spread" role="alert">
      <span>{text.error.changedElsewhere}</span>
      <span className="row">
        <Button onPress={() => void load()}>{text.error.loadOther}</Button>
        <Button onPress={keepAsCopy}>{text.error.keepAsCopy}</Button>
      </span>
    </div>
  );
}

type Query = { isLoading: boolean; isError: boolean; error: unknown; refetch: () => unknown };

/** What a page shows for a query without data: a placeholder while it loads, an error if it failed. */
export function QueryState({ query }: { query: Query }) {
  if (query.isLoading) return <Skeleton />;
  return query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />;
}

const PAUSE_MS = 300; // faster replies need no placeholder

/** Grey rows that stand for those being loaded. */
export function Skeleton({ rows = 4 }: { rows?: number }) {
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), PAUSE_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className="skeleton" role="status" aria-label={text.common.loading}>
      {isShown && Array.from({ length: rows }, (_, row) => <div key={row} aria-hidden="true" />)}
    </div>
  );
}

/** Replaces a page that has crashed, so that the rest of the Studio keeps working. */
export class ErrorBoundary extends Component<{ place: string; children: ReactNode }, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError() {
    return { isBroken: true };
  }

  override componentDidUpdate(before: { place: string }) {
    if (before.place !== this.props.place && this.state.isBroken) this.setState({ isBroken: false });
  }

  override render() {
    if (!this.state.isBroken) return this.props.children;
    return (
      <div className="page" role="alert">
        <h1>{text.error.crashed}</h1>
        <p>{text.error.crashedHelp}</p>
        <div className="row">
          <Button className="button primary" onPress={() => location.reload()}>
            {text.error.reload}
          </Button>
        </div>
      </div>
    );
  }
}
