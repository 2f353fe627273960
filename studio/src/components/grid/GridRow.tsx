import type { CSSProperties } from "react";
import type { Example } from "../../draft";
import { count } from "../../format";
import { isError, type RowProblem } from "../../rows";
import { text } from "../../text/en";
import type { Grid } from "./useGrid";

type Props = {
  id: string;
  row: number;
  place: number;
  style: CSSProperties;
  example: Example;
  problem?: RowProblem;
  tokens?: number;
  beginning: string;
  grid: Grid;
};

/** One row as it is read; a click sets the cursor, a double click edits. */
export function GridRow({ id, row, place, style, example, problem, tokens, beginning, grid }: Props) {
  const isSelected = grid.selected.has(row);
  const isCut = beginning !== "" && example.textInput.startsWith(beginning);
  const input = isCut ? `… ${example.textInput.slice(beginning.length)}` : example.textInput;
  const cells = [input, example.output] as const;
  return (
    <div
      role="row"
      aria-rowindex={place + 2}
      aria-selected={isSelected}
      className="grid-row"
      style={style}
      data-problem={problem ? (isError(problem) ? "error" : "warning") : undefined}
    >
      {/* the keys for these are those of the grid: Space selects, arrows move, Enter edits */}
      {/* eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus */}
      <div role="rowheader" className="grid-number" onClick={() => grid.toggle(row)}>
        {row + 1}
      </div>
      {cells.map((cell, column) => (
        // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
        <div
          role="gridcell"
          key={column}
          id={`${id}-${row}-${column}`}
          className="grid-cell"
          data-cursor={(grid.cursor.row === row && grid.cursor.column === column) || undefined}
          onClick={() => grid.move(row, column as 0 | 1)}
          onDoubleClick={() => grid.edit(row)}
        >
          <div className="clamp">{cell || <span className="soft">{text.grid.empty}</span>}</div>
        </div>
      ))}
      <div role="gridcell" className="grid-tokens">
        {tokens === undefined ? "" : count(tokens)}
      </div>
      <div role="gridcell" className="grid-problem">
        {problem && (
          <span className={`badge ${isError(problem) ? "bad" : "warn"}`}>{text.grid.problems[problem]}</span>
        )}
      </div>
    </div>
  );
}
