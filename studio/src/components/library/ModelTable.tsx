import { Link, useLocation } from "wouter";
import { useMe } from "../../api/account";
import { idOf, type TunedModel } from "../../api/client";
import { isRunning, useOperation } from "../../api/models";
import { count, duration, loss, tookSeconds } from "../../format";
import { type Action, Icon, RowMenu } from "../controls";
import { Ago } from "../Facts";
import { StateBadge, StepProgress } from "../JobState";
import { text } from "./text";

const { columns } = text.library;
const COLUMNS: [Column, string?][] = [
  ["name"],
  ["state"],
  ["base", "extra"],
  ["examples", "number extra"],
  ["epochs", "number extra"],
  ["loss", "number"],
  ["took", "number extra"],
  ["updated"],
];

type Acts = Record<"remove" | "share" | "exportIt", (model: TunedModel) => void>;

type ModelTableProps = {
  models: TunedModel[];
  selected: ReadonlySet<string>;
  select: (names: ReadonlySet<string>) => void;
  order: Order;
  sort: (order: Order) => void;
  acts: Acts;
  showsOwner: boolean; // pointless if all are the user's own
};

/** Tuned models as rows that can be sorted and selected; running ones show their progress. */
export function ModelTable({ models, selected, select, order, sort, acts, showsOwner }: ModelTableProps) {
  const names = models.map(({ name }) => name);
  const areAll = names.length > 0 && names.every((name) => selected.has(name));
  return (
    <div className="card flush scroll">
      <table className="list models">
        <thead>
          <tr>
            <th scope="col" className="narrow">
              <input
                type="checkbox"
                aria-label={text.library.selectAll}
                checked={areAll}
                onChange={() => select(new Set(areAll ? [] : names))}
              />
            </th>
            {COLUMNS.map(([id, name]) => (
              <SortHeader key={id} id={id} className={name} order={order} sort={sort} />
            ))}
            {showsOwner && <th scope="col">{columns.owner}</th>}
            <th scope="col" className="narrow">
              <span className="visually-hidden">{text.common.actions}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {models.map((model) => (
            <ModelRow
              key={model.name}
              model={model}
              isSelected={selected.has(model.name)}
              toggle={() => select(toggled(selected, model.name))}
              acts={acts}
              showsOwner={showsOwner}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function toggled(selected: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const next = new Set(selected);
  if (!next.delete(name)) next.add(name);
  return next;
}

type ModelRowProps = {
  model: TunedModel;
  isSelected: boolean;
  toggle: () => void;
  acts: Acts;
  showsOwner: boolean;
};

/** One tuned model in My Library. */
function ModelRow({ model, isSelected, toggle, acts, showsOwner }: ModelRowProps) {
  const operation = useOperation(model).data;
  const me = useMe().data?.user;
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
        <td className="soft">{model.owner === me ? text.common.you : text.signIn.you(model.owner ?? "")}</td>
      )}
      <td className="narrow">
        <RowMenu name={model.displayName} actions={useActions(model, acts)} />
      </td>
    </tr>
  );
}

function useActions(model: TunedModel, { remove, share, exportIt }: Acts): Action[] {
  const [, go] = useLocation();
  const id = idOf(model.name);
  const { role } = model;
  const isReady = model.state === "ACTIVE";
  const all: (Action | false)[] = [
    { id: "open", label: text.common.open, act: () => go(`/models/${id}`) },
    isReady && { id: "use", label: text.common.use, act: () => go(`/playground?model=${model.name}`) },
    { id: "again", label: text.common.again, act: () => go(`/new?from=${id}`) },
    { id: "share", label: text.sharing.share, act: () => share(model) },
    isReady && { id: "export", label: text.common.export, act: () => exportIt(model) },
    role === "OWNER" && { id: "remove", label: text.common.remove, act: () => remove(model), isDanger: true },
  ];
  return all.filter((action) => action !== false);
}

type SortHeaderProps = {
  id: Column;
  className?: string;
  order: Order;
  sort: (order: Order) => void;
};

/** A column head that sorts by its column; a second press reverses the order. */
function SortHeader({ id, className, order, sort }: SortHeaderProps) {
  const isHere = order?.by === id;
  return (
    <th
      scope="col"
      className={className}
      aria-sort={isHere ? (order.isRising ? "ascending" : "descending") : undefined}
    >
      <button
        type="button"
        className="sort"
        onClick={() => sort({ by: id, isRising: isHere ? !order.isRising : true })}
      >
        {columns[id]}
        {isHere && <Icon name={order.isRising ? "up" : "down"} size={14} />}
      </button>
    </th>
  );
}

type Column = "name" | "state" | "base" | "examples" | "epochs" | "loss" | "took" | "updated";
export type Order = { by: Column; isRising: boolean } | undefined; // undefined: the server's order

const VALUES: Record<Column, (model: TunedModel) => string | number> = {
  name: ({ displayName }) => displayName.toLowerCase(),
  state: ({ state }) => state,
  base: ({ baseWeights }) => baseWeights,
  examples: ({ tuningTask }) => tuningTask.data.rows,
  epochs: ({ tuningTask }) => tuningTask.hyperparameters.epochCount,
  loss: ({ tuningTask }) => tuningTask.epochLosses?.at(-1)?.meanLoss ?? Infinity,
  took: ({ tuningTask }) => tookSeconds(tuningTask) ?? Infinity,
  updated: ({ updateTime }) => updateTime,
};

export function ordered(models: TunedModel[], order: Order): TunedModel[] {
  if (!order) return models;
  const value = VALUES[order.by];
  const sign = order.isRising ? 1 : -1;
  return [...models].sort((a, b) => sign * compared(value(a), value(b)));
}

function compared(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
