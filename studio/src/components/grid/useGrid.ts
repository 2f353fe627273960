import { type KeyboardEvent, useState } from "react";
import { type Cells, unique, withDuplicates, withoutRows, withRow } from "../../rows";
import { text } from "../create/text";
import { toast } from "../toasts";

type Cursor = { row: number; column: number };
export type Grid = ReturnType<typeof useGrid>;

/**
 * The state of the grid (cursor, selection, the row being edited) and its actions.
 *
 * Rows have `width` cells; `wanted` are the ones to show, in order. The row being edited is always shown.
 */
export function useGrid(rows: Cells[], change: (rows: Cells[]) => void, width: number, wanted: number[]) {
  const [kept, setCursor] = useState<Cursor>({ row: 0, column: 0 });
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [editing, setEditing] = useState<number>();
  const last = rows.length - 1;
  const isExtra = editing !== undefined && editing <= last && !wanted.includes(editing);
  const places = isExtra ? [...wanted, editing].sort((one, other) => one - other) : wanted;
  const cursor = places.includes(kept.row) ? kept : { ...kept, row: places[0] ?? 0 };

  /** Change the rows and offer to undo it; only the latest change can be undone. */
  function apply(next: Cells[], message: string) {
    const undo = { label: text.toast.undo, act: () => change(rows) };
    change(next);
    toast(message, { action: undo, topic: "grid" });
  }
  const target = (): ReadonlySet<number> => (selected.size > 0 ? selected : new Set([cursor.row]));
  const move = (row: number, column = cursor.column) =>
    setCursor({ row: Math.max(0, Math.min(last, row)), column: Math.max(0, Math.min(width - 1, column)) });
  function afterwards(row: number) {
    setSelected(new Set());
    setEditing(undefined);
    setCursor({ row: Math.max(0, row), column: cursor.column });
  }
  return {
    places,
    cursor,
    selected,
    editing,
    move,
    edit: (row: number) => {
      move(row);
      setEditing(row);
    },
    leave: () => setEditing(undefined),
    save: (row: number, value: Cells) => {
      const known = rows[row];
      if (known && known.some((cell, place) => cell !== value[place]))
        apply(withRow(rows, row, value), text.grid.changed(row + 1));
      setEditing(undefined);
    },
    toggle: (row: number) => {
      const next = new Set(selected);
      if (!next.delete(row)) next.add(row);
      setSelected(next);
    },
    selectAll: () => setSelected(new Set(places)),
    selectNone: () => setSelected(new Set()),
    add: () => {
      change([...rows, Array<string>(width).fill("")]);
      setCursor({ row: rows.length, column: 0 });
      setEditing(rows.length);
    },
    append: (more: Cells[]) => {
      apply([...rows, ...more], text.import.appended(more.length));
      afterwards(rows.length);
    },
    remove: () => {
      const toDelete = target();
      apply(withoutRows(rows, toDelete), text.grid.removed(toDelete.size));
      afterwards(Math.min(cursor.row, rows.length - toDelete.size - 1));
    },
    duplicate: () => {
      const twice = target();
      apply(withDuplicates(rows, twice), text.grid.duplicated(twice.size));
      afterwards(cursor.row);
    },
    removeDuplicates: () => {
      const once = unique(rows);
      if (once.length === rows.length) return toast(text.grid.noDuplicates);
      apply(once, text.grid.removed(rows.length - once.length));
      afterwards(0);
    },
    clear: () => {
      const row = rows[cursor.row];
      if (row) apply(withRow(rows, cursor.row, withRow(row, cursor.column, "")), text.grid.cleared);
    },
  };
}

const PAGE = 6;
const STEP = 0.1; // of two columns

/** Handle a key while no row is being edited; `widen` moves the border of the cursor's column to the right. */
export function handleKey(event: KeyboardEvent<HTMLElement>, grid: Grid, widen: (share: number) => void): void {
  if (event.target !== event.currentTarget) return;
  if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    event.preventDefault();
    return widen(event.key === "ArrowRight" ? STEP : -STEP);
  }
  const { row, column } = grid.cursor;
  const { places } = grid;
  const place = Math.max(0, places.indexOf(row));
  const goTo = (next: number) => grid.move(places[Math.max(0, Math.min(places.length - 1, next))] ?? 0);
  const isCommand = event.ctrlKey || event.metaKey;
  const keys: Record<string, () => void> = {
    ArrowDown: () => goTo(place + 1),
    ArrowUp: () => goTo(place - 1),
    ArrowRight: () => grid.move(row, column + 1),
    ArrowLeft: () => grid.move(row, column - 1),
    PageDown: () => goTo(place + PAGE),
    PageUp: () => goTo(place - PAGE),
    Home: () => (isCommand ? goTo(0) : grid.move(row, 0)),
    End: () => (isCommand ? goTo(places.length - 1) : grid.move(row, Infinity)),
    Enter: () => grid.edit(row),
    F2: () => grid.edit(row),
    Delete: () => grid.clear(),
    " ": () => grid.toggle(row),
    Escape: () => grid.selectNone(),
  };
  const act = isCommand && event.key.toLowerCase() === "a" ? grid.selectAll : keys[event.key];
  if (!act || places.length === 0 || (isCommand && !["a", "A", "Home", "End"].includes(event.key))) return;
  event.preventDefault();
  act();
}
