import { Icon } from "../Icon";
import type { Column, Order } from "./order";

type Props = {
  id: Column;
  label: string;
  order: Order;
  sort: (order: Order) => void;
  isNumber?: boolean;
  isExtra?: boolean;
};

/** The head of a column; a press sorts by it, a second one the other way round. */
export function SortHeader({ id, label, order, sort, isNumber, isExtra }: Props) {
  const isHere = order?.by === id;
  return (
    <th
      scope="col"
      className={`${isNumber ? "number" : ""} ${isExtra ? "extra" : ""}`}
      aria-sort={isHere ? (order.isRising ? "ascending" : "descending") : undefined}
    >
      <button
        type="button"
        className="sort"
        onClick={() => sort({ by: id, isRising: isHere ? !order.isRising : true })}
      >
        {label}
        {isHere && <Icon name={order.isRising ? "up" : "down"} size={14} />}
      </button>
    </th>
  );
}
