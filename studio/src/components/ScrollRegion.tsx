import type { ReactNode } from "react";

/** A part that scrolls by itself, by keyboard too. */
export function ScrollRegion({
  height,
  label,
  children,
}: {
  height: number;
  label: string;
  children: ReactNode;
}) {
  return (
    // what scrolls must take the focus, or keyboards cannot scroll it (WCAG 2.1.1)
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="scroll" style={{ maxHeight: height }} tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}
