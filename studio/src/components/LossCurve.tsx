import { lazy, Suspense, useState } from "react";
import type { Schemas, Snapshot } from "../api/client";
import { epochMeans } from "../curve";
import { loss } from "../format";
import { text } from "../text/en";

const LossChart = lazy(() => import("./LossChart"));

type Props = {
  task: Schemas["TuningTaskOut"];
  snapshots: Snapshot[];
  epochLosses: Schemas["EpochLossOut"][];
};

/** The loss curve as a picture with its summary, or as the table behind it. */
export function LossCurve({ task, snapshots, epochLosses }: Props) {
  const [isTable, setTable] = useState(false);
  const [isLog, setLog] = useState(false);
  const { batchSize, epochCount } = task.hyperparameters;
  const examples = task.data.rows - (task.heldOutRows ?? 0);
  if (snapshots.length === 0) return <p className="soft">{text.model.noLoss}</p>;
  const epochs = epochMeans(snapshots, batchSize, examples, epochCount);
  return (
    <div className="stack">
      <p className="soft">{summary(epochs)}</p>
      {isTable ? (
        <CurveTable epochs={epochs} epochLosses={epochLosses} />
      ) : (
        <Suspense fallback={<div className="chart" />}>
          <LossChart {...{ snapshots, epochLosses, batchSize, examples, epochCount, isLog }} />
        </Suspense>
      )}
      <div className="row">
        <button type="button" className="chip" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {text.model.table}
        </button>
        <button
          type="button"
          className="chip"
          aria-pressed={isLog}
          onClick={() => setLog(!isLog)}
          disabled={isTable}
        >
          {text.model.log}
        </button>
        <Legend hasHeldOut={epochLosses.some((entry) => entry.heldOutLoss !== undefined)} />
      </div>
    </div>
  );
}

function summary(epochs: { loss: number }[]) {
  return text.model.lossFell(loss(epochs[0]?.loss), loss(epochs.at(-1)?.loss), epochs.length);
}

function Legend({ hasHeldOut }: { hasHeldOut: boolean }) {
  return (
    <span className="row small soft" aria-hidden="true">
      <span>─ {text.model.meanLoss}</span>
      <span style={{ color: "var(--accent)" }}>━● {text.model.epochLoss}</span>
      {hasHeldOut && <span style={{ color: "var(--good)" }}>┅● {text.model.heldOutLoss}</span>}
    </span>
  );
}

function CurveTable({
  epochs,
  epochLosses,
}: { epochs: { epoch: number; loss: number }[] } & Pick<Props, "epochLosses">) {
  return (
    <div className="scroll">
      <table className="list">
        <thead>
          <tr>
            <th scope="col">{text.create.epochs}</th>
            <th scope="col">{text.model.epochLoss}</th>
            <th scope="col">{text.model.heldOutLoss}</th>
          </tr>
        </thead>
        <tbody>
          {epochs.map(({ epoch, loss: mean }) => (
            <tr key={epoch}>
              <td>{epoch}</td>
              <td>{loss(mean)}</td>
              <td>{loss(epochLosses.find((entry) => entry.epoch === epoch)?.heldOutLoss)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
