import type { KeyboardEvent, ReactNode } from "react";
import type { Schemas } from "../../api/client";
import type { EpochPoint } from "../../curve";
import { loss } from "../../format";
import { text } from "../../text/en";

type Props = {
  epochs: EpochPoint[];
  epochLosses: Schemas["EpochLossOut"][];
  epoch?: number; // the one that is read now
  read: (epoch: number | undefined) => void;
  children: ReactNode; // the picture
};

/** Lets arrow keys read the curve, epoch by epoch; the picture marks where. */
export function CurveReader({ epochs, epochLosses, epoch, read, children }: Props) {
  const last = epochs.length;
  const now = epoch ?? last;
  const heldOut = epochLosses.find((entry) => entry.epoch === now)?.heldOutLoss;
  const said = text.chart.point(
    now,
    loss(epochs[now - 1]?.loss),
    heldOut === undefined ? undefined : loss(heldOut),
  );
  function onKeyDown(event: KeyboardEvent) {
    const steps: Record<string, number> = {
      ArrowRight: now + (epoch === undefined ? 0 : 1),
      ArrowUp: now + 1,
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      Home: 1,
      End: last,
    };
    const next = steps[event.key];
    if (next === undefined) return;
    event.preventDefault();
    read(Math.max(1, Math.min(last, next)));
  }
  return (
    <div>
      <div
        className="curve"
        role="slider"
        tabIndex={0}
        aria-label={text.chart.read}
        aria-valuemin={1}
        aria-valuemax={last}
        aria-valuenow={now}
        aria-valuetext={said}
        onKeyDown={onKeyDown}
        onBlur={() => read(undefined)}
      >
        <div aria-hidden="true">{children}</div>
      </div>
      <p className="small read-out" aria-hidden="true">
        {epoch === undefined ? " " : said}
      </p>
    </div>
  );
}
