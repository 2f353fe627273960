import { useId, type ReactNode } from "react";

type Props = {
  label: string;
  value: string;
  change: (value: string) => void;
  help?: ReactNode;
  isLabelHidden?: boolean;
  isSmall?: boolean;
  children: ReactNode; // options
};

/** A choice from a list, the browser's own: it works everywhere, by every means. */
export function SelectField({ label, value, change, help, isLabelHidden, isSmall, children }: Props) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id} className={isLabelHidden ? "visually-hidden" : undefined}>
        {label}
      </label>
      <select
        id={id}
        className={`select${isSmall ? " compact" : ""}`}
        value={value}
        aria-describedby={help ? `${id}-help` : undefined}
        onChange={(event) => change(event.target.value)}
      >
        {children}
      </select>
      {help && (
        <span className="help" id={`${id}-help`}>
          {help}
        </span>
      )}
    </div>
  );
}
