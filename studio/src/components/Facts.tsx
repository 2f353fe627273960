import type { ReactNode } from "react";
import { relativeTime } from "../format";

/** Names and values, one pair a line; pairs without a value are left out. */
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

/** A time as people say it; the exact one on hover and focus. */
export function Ago({ time }: { time: string }) {
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {relativeTime(new Date(time), new Date())}
    </time>
  );
}

/** A part that scrolls by itself, by keyboard too. */
export function ScrollRegion({ height, label, children }: { height: number; label: string; children: ReactNode }) {
  return (
    // what scrolls must take the focus, or keyboards cannot scroll it (WCAG 2.1.1)
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="scroll" style={{ maxHeight: height }} tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}
