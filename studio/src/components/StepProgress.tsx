import { Label, ProgressBar } from "react-aria-components";
import type { Operation, Snapshot } from "../api/client";
import { duration, percent } from "../format";
import { text } from "../text/en";

/** How far a tuning job is: percent, and the time left as its last steps suggest. */
export function StepProgress({ operation }: { operation: Operation }) {
  const { totalSteps, completedSteps, waitingBefore, snapshots = [] } = operation.metadata;
  if (waitingBefore !== undefined)
    return <div className="small soft">{text.library.ahead(waitingBefore)}</div>;
  const done = percent(completedSteps, totalSteps);
  const left = secondsLeft(snapshots, totalSteps);
  return (
    <ProgressBar value={done}>
      <Label className="small soft">
        {text.library.step(completedSteps, totalSteps)}
        {left !== undefined && ` · ${text.library.left(duration(left))}`}
      </Label>
      <div className="track">
        <div className="fill" style={{ width: `${done}%` }} />
      </div>
    </ProgressBar>
  );
}

export function secondsLeft(snapshots: Snapshot[], totalSteps: number): number | undefined {
  const recent = snapshots.slice(-20);
  const [first, last] = [recent[0], recent.at(-1)];
  if (!first || !last || last.step === first.step || last.step >= totalSteps) return undefined;
  const seconds = (Date.parse(last.computeTime) - Date.parse(first.computeTime)) / 1000;
  return ((totalSteps - last.step) * seconds) / (last.step - first.step);
}
