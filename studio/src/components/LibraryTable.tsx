import { Link } from "wouter";
import type { TunedModel } from "../api/client";
import { idOf, isRunning, useOperation } from "../api/models";
import { count, loss } from "../format";
import { text } from "../text/en";
import { Ago } from "./Ago";
import { StateBadge } from "./StateBadge";
import { StepProgress } from "./StepProgress";

const columns = text.library.columns;

/** Tuned models as rows; a running one shows how far it is. */
export function LibraryTable({ models }: { models: TunedModel[] }) {
  return (
    <div className="card scroll" style={{ padding: 0 }}>
      <table className="list">
        <thead>
          <tr>
            <th scope="col">{columns.name}</th>
            <th scope="col">{columns.state}</th>
            <th scope="col">{columns.base}</th>
            <th scope="col" className="number">
              {columns.examples}
            </th>
            <th scope="col" className="number">
              {columns.epochs}
            </th>
            <th scope="col" className="number">
              {columns.loss}
            </th>
            <th scope="col">{columns.updated}</th>
          </tr>
        </thead>
        <tbody>
          {models.map((model) => (
            <Row key={model.name} model={model} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ model }: { model: TunedModel }) {
  const operation = useOperation(model);
  const task = model.tuningTask;
  return (
    <tr>
      <td>
        <Link href={`/models/${idOf(model.name)}`}>{model.displayName}</Link>
        {model.error && !model.cancelled && <div className="small soft">{model.error.message}</div>}
      </td>
      <td>
        <StateBadge model={model} operation={operation.data} />
        {isRunning(model) && operation.data && <StepProgress operation={operation.data} />}
      </td>
      <td className="soft">{model.baseWeights}</td>
      <td className="number">{count(task.data.rows)}</td>
      <td className="number">{task.hyperparameters.epochCount}</td>
      <td className="number">{loss(task.epochLosses?.at(-1)?.meanLoss)}</td>
      <td className="soft">
        <Ago time={model.updateTime} />
      </td>
    </tr>
  );
}
