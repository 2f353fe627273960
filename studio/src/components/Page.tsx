import { useEffect, useRef, type ReactNode } from "react";
import { text } from "../text/en";

/** A page with its one heading, which gets the focus when the page is entered. */
export function Page({
  title,
  actions,
  children,
}: {
  title: string;
  actions?: ReactNode;
  children?: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
  }, []);
  useEffect(() => {
    document.title = `${title} · ${text.product}`;
  }, [title]);
  return (
    <div className="page">
      <div className="row spread">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        <div className="row">{actions}</div>
      </div>
      {children}
    </div>
  );
}
