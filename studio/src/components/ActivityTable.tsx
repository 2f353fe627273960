import { Link } from "wouter";
import type { TunedModel } from "../api/client";
import { idOf, isRunning } from "../api/models";
import { useOperation } from "../api/operations";
import { usePermissions } from "../api/sharing";
import { duration } from "../format";
import { text } from "../text/en";
import { tookSeconds } from "../took";
import { Ago } from "./Ago";
import { StateBadge } from "./StateBadge";
import { StepProgress } from "./StepProgress";

/** Jobs as rows: what, whose, where they stand. */
export function ActivityTable({ models, me }: { models: TunedModel[]; me?: string }) {
  const { columns } = text.activity;
  const areOpen = models.some(isRunning);
  return (
    <div className="card flush scroll">
      <table className="list">
        <thead>
          <tr>
            <th scope="col">{columns.model}</th>
            <th scope="col">{columns.who}</th>
            <th scope="col">{columns.phase}</th>
            <th scope="col">{areOpen ? columns.progress : text.library.columns.took}</th>
            {!areOpen && <th scope="col">{columns.ended}</th>}
          </tr>
        </thead>
        <tbody>
          {models.map((model) => (
            <Job key={model.name} model={model} me={me} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Job({ model, me }: { model: TunedModel; me?: string }) {
  const id = idOf(model.name);
  const operation = useOperation(model).data;
  const owner = usePermissions(id).data?.find(({ role }) => role === "OWNER")?.emailAddress;
  const { completeTime } = model.tuningTask;
  const took = tookSeconds(model.tuningTask);
  return (
    <tr>
      <td className="title">
        <Link href={`/models/${id}`}>{model.displayName}</Link>
      </td>
      <td className="soft">{owner === me ? text.library.me : owner}</td>
      <td>
        <StateBadge model={model} operation={operation} />
      </td>
      {isRunning(model) ? (
        <td>{operation && <StepProgress operation={operation} />}</td>
      ) : (
        <>
          <td className="soft">{took === undefined ? "–" : duration(took)}</td>
          <td className="soft">{completeTime && <Ago time={completeTime} />}</td>
        </>
      )}
    </tr>
  );
}
