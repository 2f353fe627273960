import { useEffect, useRef, type ReactNode } from "react";
import { text } from "../text/en";

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
