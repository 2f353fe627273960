import type { ReactNode } from "react";
import { relativeTime } from "../format";

/** Names and values, one pair per line; pairs without a value are left out. */
export function Facts({ facts }: { facts: [ReactNode, ReactNode][] }) {
  return (
    <dl className="facts">
      {facts
        .filter(([, value]) => value !== undefined && value !== "")
        .map(([name, value], place) => (
          <div key={place} className="fact">
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** A relative time; the exact one on hover. */
export function Ago({ time }: { time: string }) {
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {relativeTime(new Date(time), new Date())}
    </time>
  );
}

type Head = readonly [label: ReactNode, className?: string];

/** A table with column heads; the children are its bodies. */
export function Table(props: {
  heads: readonly Head[];
  caption?: string;
  label?: string;
  className?: string;
  children: ReactNode;
}) {
  const { heads, caption, label, className = "", children } = props;
  return (
    <table className={`list ${className}`} aria-label={label}>
      {caption && <caption className="help left">{caption}</caption>}
      <thead>
        <tr>
          {heads.map(([label, name], place) => (
            <th key={place} scope="col" className={name}>
              {label}
            </th>
          ))}
        </tr>
      </thead>
      {children}
    </table>
  );
}

/** A region that scrolls on its own, also by keyboard; without a height only sideways. */
export function ScrollRegion({ height, label, children }: { height?: number; label: string; children: ReactNode }) {
  return (
    // a scrolling region must be focusable to be scrolled by keyboard (WCAG 2.1.1)
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="scroll" style={{ maxHeight: height }} tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}
