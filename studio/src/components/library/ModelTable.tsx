import type { TunedModel } from "../../api/client";
import { text } from "../../text/en";
import { ModelRow } from "./ModelRow";
import type { Order } from "./order";
import { SortHeader } from "./SortHeader";

const { columns } = text.library;

type Props = {
  models: TunedModel[];
  selected: ReadonlySet<string>;
  select: (names: ReadonlySet<string>) => void;
  order: Order;
  sort: (order: Order) => void;
  remove: (models: TunedModel[]) => void;
  share: (model: TunedModel) => void;
  take: (model: TunedModel) => void;
  showsOwner: boolean; // where all are one's own it says nothing
};

/** Tuned models as rows: sorted, selected, each with its menu; a running one shows how far it is. */
export function ModelTable({
  models,
  selected,
  select,
  order,
  sort,
  remove,
  share,
  take,
  showsOwner,
}: Props) {
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
            <SortHeader id="name" label={columns.name} order={order} sort={sort} />
            <SortHeader id="state" label={columns.state} order={order} sort={sort} />
            <SortHeader id="base" label={columns.base} order={order} sort={sort} isExtra />
            <SortHeader id="examples" label={columns.examples} order={order} sort={sort} isNumber isExtra />
            <SortHeader id="epochs" label={columns.epochs} order={order} sort={sort} isNumber isExtra />
            <SortHeader id="loss" label={columns.loss} order={order} sort={sort} isNumber />
            <SortHeader id="took" label={columns.took} order={order} sort={sort} isNumber isExtra />
            <SortHeader id="updated" label={columns.updated} order={order} sort={sort} />
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
              remove={() => remove([model])}
              share={() => share(model)}
              take={() => take(model)}
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
