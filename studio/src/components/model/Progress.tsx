import type { Operation, TunedModel } from "../../api/client";
import { duration, epochOf, percent } from "../../format";
import { text } from "../../text/en";
import { secondsLeft } from "../StepProgress";

const PHASES = ["QUEUED", "PREPARING", "RUNNING", "PUBLISHING"] as const;

/** The way of a run through its phases, how far it is in the one it is in, and when it will be done. */
export function Progress({ model, operation }: { model: TunedModel; operation: Operation }) {
  const { phase, waitingBefore, totalSteps, completedSteps, snapshots = [] } = operation.metadata;
  const { hyperparameters, data, heldOutRows = 0 } = model.tuningTask;
  const now = PHASES.findIndex((name) => name === phase);
  const done = percent(completedSteps, totalSteps);
  const learned = data.rows - heldOutRows;
  const epoch = Math.min(
    hyperparameters.epochCount,
    epochOf(Math.max(1, completedSteps), hyperparameters.batchSize, learned),
  );
  const left = secondsLeft(snapshots, totalSteps);
  const isTuning = phase === "RUNNING";
  const where = isTuning
    ? text.model.position(epoch, hyperparameters.epochCount, completedSteps, totalSteps, done)
    : waitingBefore !== undefined
      ? text.library.ahead(waitingBefore)
      : text.phase[phase]?.[1];
  return (
    <section className="card stack" aria-label={String(text.phase.label)}>
      <ol className="phases">
        {PHASES.map((name, place) => (
          <li
            key={name}
            data-state={place < now ? "done" : place === now ? "now" : "later"}
            aria-current={place === now ? "step" : undefined}
          >
            {text.phase[name]?.[0]}
          </li>
        ))}
      </ol>
      <div>
        {where}
        {left !== undefined && isTuning && ` · ${text.library.left(duration(left))}`}
      </div>
      <div
        className="track"
        role="progressbar"
        aria-label={String(text.phase.label)}
        aria-valuenow={done}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <div className="fill" style={{ width: `${done}%` }} />
      </div>
      {/* heard once an epoch and once a phase, not at every step */}
      <div className="visually-hidden" role="status">
        {isTuning ? text.model.announceEpoch(epoch, hyperparameters.epochCount) : text.phase[phase]?.[0]}
      </div>
    </section>
  );
}
