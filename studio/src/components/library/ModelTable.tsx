import { Link, useLocation } from "wouter";
import { useMe } from "../../api/account";
import { canEdit, idOf, type TunedModel } from "../../api/client";
import { isRunning, useBaseNames, useOperation } from "../../api/models";
import { count, duration, loss, share, tookSeconds } from "../../format";
import { type Action, Icon, RowMenu } from "../controls";
import { Ago } from "../Facts";
import { StateBadge, StepProgress } from "../JobState";
import { text } from "./text";

const { columns } = text.library;
const COLUMNS: [Column, string?][] = [
  ["name"],
  ["state"],
  ["score", "number"],
  ["base", "extra"],
  ["examples", "number extra"],
  ["epochs", "number most"],
  ["loss", "number extra"],
  ["took", "number most"],
  ["updated"],
];

type Acts = Record<"remove" | "share" | "exportIt" | "cancel", (model: TunedModel) => void>;

type ModelTableProps = {
  models: TunedModel[];
  selected: ReadonlySet<string>;
  select: (names: ReadonlySet<string>) => void;
  order: Order;
  sort: (order: Order) => void;
  acts: Acts;
  showsOwner: boolean; // pointless if all models belong to the user
};

/** Tuned models as rows that can be sorted and selected; running ones show their progress. */
export function ModelTable({ models, selected, select, order, sort, acts, showsOwner }: ModelTableProps) {
  const names = models.map(({ name }) => name);
  const areAll = names.length > 0 && names.every((name) => selected.has(name));
  return (
    <div className="card flush scroll fitted">
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
      <div role="status" className="visually-hidden">
        {text.library.sorted(columns[order.by], order.isRising)}
      </div>
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
  const baseNames = useBaseNames();
  const task = model.tuningTask;
  const took = tookSeconds(task);
  const base = baseNames.get(model.baseWeights) ?? model.baseWeights;
  const source = model.tunedModelSource?.tunedModel ?? model.tunedAgainFrom;
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
      <td className="title" dir="auto">
        <Link href={`/models/${idOf(model.name)}`}>{model.displayName}</Link>
        {source && <div className="small soft clamp one">{text.common.tunedFrom(idOf(source))}</div>}
        {model.error && !model.cancelled && <div className="small soft clamp one">{model.error.message}</div>}
        {!model.error && model.description && (
          <div className="small soft clamp one" dir="auto">
            {model.description}
          </div>
        )}
      </td>
      <td className="state">
        <StateBadge model={model} operation={operation} />
        {isRunning(model) && operation && <StepProgress operation={operation} />}
      </td>
      <td className="number">
        <Score model={model} />
      </td>
      <td className="soft extra base-name" title={model.baseWeights}>
        {base}
      </td>
      <td className="number extra">{count(task.data.rows)}</td>
      <td className="number most">{task.hyperparameters.epochCount}</td>
      <td className="number extra">{loss(task.epochLosses?.at(-1)?.meanLoss)}</td>
      <td className="number most soft">{took === undefined ? "–" : duration(took)}</td>
      <td className="soft nowrap updated">
        <Ago time={model.updateTime} />
      </td>
      {showsOwner && <td className="soft">{text.signIn.person(model.owner ?? "", me)}</td>}
      <td className="narrow">
        <RowMenu name={model.displayName} actions={useActions(model, acts)} />
      </td>
    </tr>
  );
}

/** The score of the newest evaluation, with its metric and the score of the base. */
function Score({ model: { score } }: { model: TunedModel }) {
  if (!score) return <span className="soft">–</span>;
  const { metric, value, baseValue } = score;
  return (
    <span title={text.library.scoreOf(metric.replaceAll("_", " "), baseValue === undefined ? "" : share(baseValue))}>
      {share(value)}
    </span>
  );
}

function useActions(model: TunedModel, { remove, share: shareIt, exportIt, cancel }: Acts): Action[] {
  const [, go] = useLocation();
  const id = idOf(model.name);
  const { role } = model;
  const isReady = model.state === "ACTIVE";
  const all: (Action | false)[] = [
    { id: "open", label: text.common.open, act: () => go(`/models/${id}`) },
    isReady && { id: "use", label: text.common.use, act: () => go(`/playground?model=${model.name}`) },
    { id: "again", label: text.common.again, act: () => go(`/new?from=${id}`) },
    { id: "share", label: text.sharing.share, act: () => shareIt(model) },
    isReady && { id: "export", label: text.common.export, act: () => exportIt(model) },
    isRunning(model) &&
      canEdit(model) && { id: "cancel", label: text.job.cancel, act: () => cancel(model), isDanger: true },
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
  const isHere = order.by === id;
  return (
    <th
      scope="col"
      className={className}
      aria-sort={isHere ? (order.isRising ? "ascending" : "descending") : undefined}
    >
      <button
        type="button"
        className="sort"
        onClick={() => sort({ by: id, isRising: isHere ? !order.isRising : !FALLING_FIRST.includes(id) })}
      >
        {columns[id]}
        {isHere && <Icon name={order.isRising ? "up" : "down"} size={14} />}
      </button>
    </th>
  );
}

const NAMES = ["name", "state", "score", "base", "examples", "epochs", "loss", "took", "updated"] as const;
type Column = (typeof NAMES)[number];
export type Order = { by: Column; isRising: boolean };

const FALLING_FIRST: readonly Column[] = ["updated", "score"];
const STANDARD: Order = { by: "updated", isRising: false };

/** The order in a URL, such as "name" or "-score". */
export function orderFrom(given: string | null): Order {
  const by = NAMES.find((name) => name === given?.replace(/^-/, ""));
  return by ? { by, isRising: !given?.startsWith("-") } : STANDARD;
}

/** An order as it appears in a URL; undefined for the usual one. */
export function orderName({ by, isRising }: Order): string | undefined {
  return by === STANDARD.by && isRising === STANDARD.isRising ? undefined : `${isRising ? "" : "-"}${by}`;
}

const VALUES: Record<Column, (model: TunedModel) => string | number> = {
  name: ({ displayName }) => displayName.toLowerCase(),
  state: ({ state }) => state,
  score: ({ score }) => score?.value ?? -1,
  base: ({ baseWeights }) => baseWeights,
  examples: ({ tuningTask }) => tuningTask.data.rows,
  epochs: ({ tuningTask }) => tuningTask.hyperparameters.epochCount,
  loss: ({ tuningTask }) => tuningTask.epochLosses?.at(-1)?.meanLoss ?? Infinity,
  took: ({ tuningTask }) => tookSeconds(tuningTask) ?? Infinity,
  updated: ({ updateTime }) => updateTime,
};

export function ordered(models: TunedModel[], order: Order): TunedModel[] {
  const value = VALUES[order.by];
  const sign = order.isRising ? 1 : -1;
  return [...models].sort((a, b) => sign * compared(value(a), value(b)));
}

function compared(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
