import { Component, type ReactNode, useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { ApiError, isLost, needsSignIn } from "../api/client";
import { SignInNote } from "./SignIn";
import { text } from "./text";

type Props = { title: string; actions?: ReactNode; beside?: ReactNode; children?: ReactNode };

/** A page with its one heading, which gets the focus when the page is entered. */
export function Page({ title, actions, beside, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, []);
  useEffect(() => {
    document.title = `${title} · ${text.product}`;
  }, [title]);
  return (
    <div className="page">
      <div className="row spread page-head">
        <div className="row">
          <h1 ref={heading} tabIndex={-1}>
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

/** One numbered part of the form. */
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

/** What went wrong, what to do, and the code in small print; without a sign-in it leads there. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (needsSignIn(error)) return <SignInNote why={text.signIn.key} />;
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

const PAUSE_MS = 300; // what comes sooner needs no stand-in

/** Grey rows where real ones will be. */
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

/** Stands in for a page that stopped working, so that the rest of the Studio goes on. */
export class Crash extends Component<{ place: string; children: ReactNode }, { isBroken: boolean }> {
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
