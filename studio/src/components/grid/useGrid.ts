import { type KeyboardEvent, useState } from "react";
import type { Example } from "../../draft";
import { unique, withDuplicates, withoutRows, withRow } from "../../rows";
import { text } from "../create/text";
import { toast } from "../toasts";

type Cursor = { row: number; column: 0 | 1 };
export type Grid = ReturnType<typeof useGrid>;

const EMPTY_ROW: Example = { textInput: "", output: "" };

/** The state of the grid (cursor, selection, the row being edited) and its actions. */
export function useGrid(rows: Example[], change: (rows: Example[]) => void) {
  const [cursor, setCursor] = useState<Cursor>({ row: 0, column: 0 });
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [editing, setEditing] = useState<number>();
  const last = rows.length - 1;

  /** Change the rows and offer to undo it; only the latest change can be undone. */
  function apply(next: Example[], message: string) {
    const undo = { label: text.toast.undo, act: () => change(rows) };
    change(next);
    toast(message, { action: undo, topic: "grid" });
  }
  const target = (): ReadonlySet<number> => (selected.size > 0 ? selected : new Set([cursor.row]));
  const move = (row: number, column: 0 | 1 = cursor.column) =>
    setCursor({ row: Math.max(0, Math.min(last, row)), column });
  function afterwards(row: number) {
    setSelected(new Set());
    setEditing(undefined);
    setCursor({ row: Math.max(0, row), column: cursor.column });
  }
  return {
    cursor,
    selected,
    editing,
    move,
    edit: (row: number) => {
      move(row);
      setEditing(row);
    },
    leave: () => setEditing(undefined),
    save: (row: number, value: Example) => {
      const known = rows[row];
      if (known && (known.textInput !== value.textInput || known.output !== value.output))
        apply(withRow(rows, row, value), text.grid.changed(row + 1));
      setEditing(undefined);
    },
    toggle: (row: number) => {
      const next = new Set(selected);
      if (!next.delete(row)) next.add(row);
      setSelected(next);
    },
    selectAll: () => setSelected(new Set(rows.keys())),
    selectNone: () => setSelected(new Set()),
    add: () => {
      change([...rows, EMPTY_ROW]);
      setCursor({ row: rows.length, column: 0 });
      setEditing(rows.length);
    },
    append: (more: Example[]) => {
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
      const cell = cursor.column === 0 ? { textInput: "" } : { output: "" };
      if (row) apply(withRow(rows, cursor.row, { ...row, ...cell }), text.grid.cleared);
    },
  };
}

const PAGE = 6;

/** Handle a key while no row is being edited; `places` are the rows shown, in order. */
export function handleKey(event: KeyboardEvent<HTMLElement>, grid: Grid, places: number[]): void {
  if (event.target !== event.currentTarget) return;
  const { row } = grid.cursor;
  const place = Math.max(0, places.indexOf(row));
  const goTo = (next: number) => grid.move(places[Math.max(0, Math.min(places.length - 1, next))] ?? 0);
  const isCommand = event.ctrlKey || event.metaKey;
  const keys: Record<string, () => void> = {
    ArrowDown: () => goTo(place + 1),
    ArrowUp: () => goTo(place - 1),
    ArrowRight: () => grid.move(row, 1),
    ArrowLeft: () => grid.move(row, 0),
    PageDown: () => goTo(place + PAGE),
    PageUp: () => goTo(place - PAGE),
    Home: () => (isCommand ? goTo(0) : grid.move(row, 0)),
    End: () => (isCommand ? goTo(places.length - 1) : grid.move(row, 1)),
    Enter: () => grid.edit(row),
    F2: () => grid.edit(row),
    Delete: () => grid.clear(),
    " ": () => grid.toggle(row),
    Escape: () => grid.selectNone(),
  };
  const act = isCommand && event.key.toLowerCase() === "a" ? grid.selectAll : keys[event.key];
  if (!act || (isCommand && !["a", "A", "Home", "End"].includes(event.key))) return;
  event.preventDefault();
  act();
}
