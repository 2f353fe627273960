import { Label, ProgressBar } from "react-aria-components";
import type { Operation, Snapshot } from "../api/client";
import { duration } from "../format";
import { text } from "../text/en";

/** How far a tuning job is: percent, and the time left as its last steps suggest. */
export function StepProgress({ operation }: { operation: Operation }) {
  const { totalSteps, completedSteps, waitingBefore, snapshots = [] } = operation.metadata;
  if (waitingBefore !== undefined)
    return <div className="small soft">{text.library.ahead(waitingBefore)}</div>;
  const percent = Math.round((100 * (completedSteps ?? 0)) / totalSteps);
  const left = secondsLeft(snapshots, totalSteps);
  return (
    <ProgressBar value={percent}>
      <Label className="small soft">
        {percent} %{left !== undefined && ` · ${text.library.left(duration(left))}`}
      </Label>
      <div className="track">
        <div className="fill" style={{ width: `${percent}%` }} />
      </div>
    </ProgressBar>
  );
}

function secondsLeft(snapshots: Snapshot[], totalSteps: number): number | undefined {
  const recent = snapshots.slice(-20);
  const [first, last] = [recent[0], recent.at(-1)];
  if (!first || !last || last.step === first.step) return undefined;
  const seconds = (Date.parse(last.computeTime) - Date.parse(first.computeTime)) / 1000;
  return ((totalSteps - last.step) * seconds) / (last.step - first.step);
}
