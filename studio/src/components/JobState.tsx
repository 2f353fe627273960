import { Label, ProgressBar } from "react-aria-components";
import type { Operation, TunedModel } from "../api/client";
import { duration, percent } from "../format";
import { text } from "./text";

const PHASES: Record<string, string> = {
  QUEUED: text.state.queued,
  PREPARING: text.state.preparing,
  RUNNING: text.state.tuning,
  PUBLISHING: text.state.saving,
};

/** The state of a tuned model, or its phase while it is being tuned. */
export function StateBadge({ model, operation }: { model: TunedModel; operation?: Operation }) {
  if (model.cancelled) return <span className="badge warn">{text.state.cancelled}</span>;
  if (model.state === "FAILED") return <span className="badge bad">{text.state.failed}</span>;
  if (model.state === "ACTIVE") return <span className="badge good">{text.state.ready}</span>;
  const phase = operation?.metadata.phase ?? model.tuningTask.phase;
  return <span className="badge live">{PHASES[phase] ?? text.state.saving}</span>;
}

/** The state of a job for the title of the tab: "38 %", "Queued". */
export function shortState(model: TunedModel, operation?: Operation): string {
  if (model.cancelled) return text.state.cancelled;
  if (model.state !== "CREATING") return model.state === "ACTIVE" ? text.state.ready : text.state.failed;
  const { phase, completedSteps = 0, totalSteps = 0 } = operation?.metadata ?? {};
  return phase === "RUNNING" ? `${percent(completedSteps, totalSteps)} %` : (PHASES[phase ?? ""] ?? "");
}

/** The progress of a tuning job, and the time left at the pace of its last steps. */
export function StepProgress({ operation }: { operation: Operation }) {
  const { totalSteps, completedSteps, waitingBefore, secondsLeft: left } = operation.metadata;
  const { secondsToStart } = operation.metadata;
  if (waitingBefore !== undefined) {
    const start = secondsToStart === undefined ? "" : ` · ${text.job.starts(duration(secondsToStart))}`;
    return (
      <div className="small soft">
        {text.job.ahead(waitingBefore)}
        {start}
      </div>
    );
  }
  const done = percent(completedSteps, totalSteps);
  return (
    <ProgressBar value={done}>
      <Label className="small soft">
        {text.job.step(completedSteps, totalSteps)}
        {left !== undefined && ` · ${text.job.left(duration(left))}`}
      </Label>
      <div className="track">
        <div className="fill" style={{ width: `${done}%` }} />
      </div>
    </ProgressBar>
  );
}
