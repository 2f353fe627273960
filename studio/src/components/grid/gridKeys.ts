// Keys of the examples grid, while no row is under edit.

import type { KeyboardEvent } from "react";
import type { Grid } from "./useGrid";

const PAGE = 6;

/** Do what a key means; `places` are the rows that are shown, in their order. */
export function gridKeys(event: KeyboardEvent<HTMLElement>, grid: Grid, places: number[]): void {
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
