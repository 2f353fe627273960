import { Link, useLocation } from "wouter";
import { useMe } from "../../api/account";
import type { TunedModel } from "../../api/client";
import { idOf, isRunning } from "../../api/models";
import { useOperation } from "../../api/operations";
import { useOffers } from "../../api/server";
import { usePermissions } from "../../api/sharing";
import { count, duration, loss } from "../../format";
import { useRole } from "../../hooks/useRole";
import { text } from "../../text/en";
import { tookSeconds } from "../../took";
import { Ago } from "../Ago";
import { RowMenu, type Action } from "../RowMenu";
import { StateBadge } from "../StateBadge";
import { StepProgress } from "../StepProgress";

type Props = {
  model: TunedModel;
  isSelected: boolean;
  toggle: () => void;
  remove: () => void;
  share: () => void;
  take: () => void;
  showsOwner: boolean;
};

/** One tuned model in My Library. */
export function ModelRow({ model, isSelected, toggle, remove, share, take, showsOwner }: Props) {
  const operation = useOperation(model).data;
  const task = model.tuningTask;
  const took = tookSeconds(task);
  return (
    <tr data-selected={isSelected || undefined}>
      <td className="narrow">
        <input
          type="checkbox"
          aria-label={text.library.selectRow(model.displayName)}
          checked={isSelected}
          onChange={toggle}
        />
      </td>
      <td className="title">
        <Link href={`/models/${idOf(model.name)}`}>{model.displayName}</Link>
        {model.error && !model.cancelled && <div className="small soft clamp one">{model.error.message}</div>}
        {!model.error && model.description && <div className="small soft clamp one">{model.description}</div>}
      </td>
      <td>
        <StateBadge model={model} operation={operation} />
        {isRunning(model) && operation && <StepProgress operation={operation} />}
      </td>
      <td className="soft extra base-name" title={model.baseWeights}>
        {model.baseWeights}
      </td>
      <td className="number extra">{count(task.data.rows)}</td>
      <td className="number extra">{task.hyperparameters.epochCount}</td>
      <td className="number">{loss(task.epochLosses?.at(-1)?.meanLoss)}</td>
      <td className="number extra soft">{took === undefined ? "–" : duration(took)}</td>
      <td className="soft nowrap">
        <Ago time={model.updateTime} />
      </td>
      {showsOwner && (
        <td className="soft">
          <Owner id={idOf(model.name)} />
        </td>
      )}
      <td className="narrow">
        <RowMenu name={model.displayName} actions={useActions(model, { remove, share, take })} />
      </td>
    </tr>
  );
}

function Owner({ id }: { id: string }) {
  const me = useMe().data?.user;
  const owner = usePermissions(id).data?.find(({ role }) => role === "OWNER")?.emailAddress;
  return <>{owner === me ? text.library.me : owner}</>;
}

type Acts = Pick<Props, "remove" | "share" | "take">;

function useActions(model: TunedModel, { remove, share, take }: Acts): Action[] {
  const [, go] = useLocation();
  const id = idOf(model.name);
  const role = useRole(id);
  const isReady = model.state === "ACTIVE";
  const canExport = useOffers("tunedModels.export");
  const all: (Action | false)[] = [
    { id: "open", label: text.library.open, act: () => go(`/models/${id}`) },
    isReady && { id: "use", label: text.model.use, act: () => go(`/playground?model=${model.name}`) },
    { id: "again", label: text.model.again, act: () => go(`/new?from=${id}`) },
    { id: "share", label: text.sharing.share, act: share },
    isReady && canExport && { id: "export", label: text.model.export, act: take },
    role === "OWNER" && { id: "remove", label: text.model.remove, act: remove, isDanger: true },
  ];
  return all.filter((action) => action !== false);
}
