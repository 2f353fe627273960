import {
  type CSSProperties,
  type KeyboardEvent,
  type PointerEvent,
  type RefObject,
  useEffect,
  useRef,
  useState,
} from "react";
import { Button } from "react-aria-components";
import { count } from "../../format";
import { type Cells, type RowProblem, withRow } from "../../rows";
import { text } from "../create/text";
import type { Grid } from "./useGrid";

/** A column of the grid; `labelOf` names its cell in a row while that is edited. */
export type GridColumn = { name: string; labelOf: (row: number) => string };

type GridRowsProps = {
  id: string;
  frame: RefObject<HTMLDivElement | null>;
  columns: GridColumn[];
  moveBorder: (column: number, share: number) => void;
  rows: Cells[];
  problems: (RowProblem | undefined)[];
  tokens?: number[]; // undefined: not counted here
  rowPx: number;
  beginning: string; // of all first cells; not repeated in each row
  grid: Grid;
};

const HEAD_PX = 40;

/** The head and the visible rows. */
export function GridRows(props: GridRowsProps) {
  const { id, frame, columns, moveBorder, rows, problems, tokens, rowPx, beginning, grid } = props;
  const { places } = grid;
  const editedPlace = grid.editing === undefined ? undefined : places.indexOf(grid.editing);
  const { first, last, topOf, height } = useVisible(frame, places.length, editedPlace, rowPx);
  const isEditing = grid.editing !== undefined;
  const cursorPlace = places.indexOf(grid.cursor.row);
  useEffect(() => {
    const element = frame.current;
    if (!element || cursorPlace < 0) return;
    const top = cursorPlace * rowPx;
    const bottom = top + (isEditing ? EDIT_PX : rowPx);
    const seen = element.clientHeight - HEAD_PX;
    if (top < element.scrollTop) element.scrollTo({ top });
    else if (bottom > element.scrollTop + seen) element.scrollTo({ top: bottom - seen });
  }, [frame, cursorPlace, rowPx, isEditing]);
  return (
    <>
      <div role="rowgroup" className="grid-head">
        <div role="row" aria-rowindex={1} className="grid-row">
          <div role="columnheader">{text.grid.number}</div>
          {columns.map(({ name }, place) => (
            <div role="columnheader" key={place}>
              {name}
              {place < columns.length - 1 && <Border move={(share) => moveBorder(place, share)} />}
            </div>
          ))}
          {tokens && (
            <div role="columnheader" className="grid-tokens">
              {text.grid.tokens}
            </div>
          )}
          <div role="columnheader" className="grid-problem">
            {text.grid.problem}
          </div>
        </div>
      </div>
      <div role="rowgroup" className="grid-body" style={{ height }}>
        {places.slice(first, last + 1).map((row, offset) => {
          const place = first + offset;
          const cells = rows[row];
          if (!cells) return null;
          const isEdited = row === grid.editing;
          const style = { top: topOf(place), height: isEdited ? EDIT_PX : rowPx };
          const where = { row, place, style, cells };
          return isEdited ? (
            <GridEditor
              key={row}
              {...where}
              columns={columns}
              column={grid.cursor.column}
              save={(value, goesDown) => {
                grid.save(row, value);
                if (goesDown) grid.move(places[place + 1] ?? row);
                frame.current?.focus();
              }}
              leave={() => {
                grid.leave();
                frame.current?.focus();
              }}
            />
          ) : (
            <GridRow
              key={row}
              id={id}
              {...where}
              problem={problems[row]}
              tokens={tokens && (tokens[row] ?? "")}
              beginning={beginning}
              grid={grid}
            />
          );
        })}
      </div>
    </>
  );
}

/** The border between two columns, which can be dragged; with the keyboard, the grid moves it. */
function Border({ move }: { move: (share: number) => void }) {
  function onPointerMove({ currentTarget, buttons, movementX }: PointerEvent<HTMLElement>) {
    const left = currentTarget.parentElement;
    const right = left?.nextElementSibling;
    if (buttons !== 1 || !left || !(right instanceof HTMLElement)) return;
    move(movementX / (left.offsetWidth + right.offsetWidth));
  }
  return (
    <span
      className="grid-border"
      aria-hidden="true"
      onPointerDown={({ currentTarget, pointerId }) => currentTarget.setPointerCapture(pointerId)}
      onPointerMove={onPointerMove}
    />
  );
}

type Where = { row: number; place: number; style: CSSProperties; cells: Cells };

type GridRowProps = Where & {
  id: string;
  problem?: RowProblem;
  tokens?: number | ""; // empty: not counted yet
  beginning: string;
  grid: Grid;
};

/** A row; a click moves the cursor to it, a double click edits it. */
function GridRow({ id, row, place, style, cells, problem, tokens, beginning, grid }: GridRowProps) {
  const isSelected = grid.selected.has(row);
  const [first = "", ...others] = cells;
  const isCut = beginning !== "" && first.startsWith(beginning);
  const shown = [isCut ? `… ${first.slice(beginning.length)}` : first, ...others];
  return (
    <div
      role="row"
      aria-rowindex={place + 2}
      aria-selected={isSelected}
      className="grid-row"
      style={style}
      data-problem={problem && (problem.isError ? "error" : "warning")}
    >
      {/* the grid has the keys for these: Space selects, arrows move, Enter edits */}
      {/* eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus */}
      <div role="rowheader" className="grid-number" onClick={() => grid.toggle(row)}>
        {row + 1}
      </div>
      {shown.map((cell, column) => (
        // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
        <div
          role="gridcell"
          key={column}
          id={`${id}-${row}-${column}`}
          className="grid-cell"
          data-cursor={(grid.cursor.row === row && grid.cursor.column === column) || undefined}
          onClick={() => grid.move(row, column)}
          onDoubleClick={() => grid.edit(row)}
        >
          <div dir="auto" className="clamp">
            {cell || <span className="soft">{text.common.empty}</span>}
          </div>
        </div>
      ))}
      {tokens !== undefined && (
        <div role="gridcell" className="grid-tokens">
          {tokens === "" ? "" : count(tokens)}
        </div>
      )}
      <div role="gridcell" className="grid-problem">
        {problem && (
          <span className={`badge ${problem.isError ? "bad" : "warn"}`} title={text.problems.kinds[problem.kind]}>
            {text.problems.kinds[problem.kind] ?? problem.kind}
          </span>
        )}
      </div>
    </div>
  );
}

type GridEditorProps = Where & {
  columns: GridColumn[];
  column: number;
  save: (value: Cells, goesDown: boolean) => void;
  leave: () => void;
};

/** The row being edited. Ctrl+Enter saves and moves down, Esc discards. */
function GridEditor({ row, place, style, cells, columns, column, save, leave }: GridEditorProps) {
  const [value, setValue] = useState(cells);
  const first = useRef<HTMLTextAreaElement>(null);
  const [start] = useState(column);
  useEffect(() => first.current?.focus(), []);
  function onKeyDown(event: KeyboardEvent) {
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save(value, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  return (
    // the text areas inside take the keys; this only listens for what bubbles up
    // eslint-disable-next-line jsx-a11y/interactive-supports-focus
    <div role="row" aria-rowindex={place + 2} className="grid-row edited" style={style} onKeyDown={onKeyDown}>
      <div role="rowheader" className="grid-number">
        {row + 1}
      </div>
      {columns.map(({ labelOf }, at) => (
        <div role="gridcell" key={at}>
          <textarea
            ref={at === start ? first : undefined}
            dir="auto"
            aria-label={labelOf(row + 1)}
            value={value[at] ?? ""}
            onChange={(event) => setValue(withRow(value, at, event.target.value))}
          />
        </div>
      ))}
      <div role="gridcell" className="grid-actions">
        <Button className="button primary" onPress={() => save(value, false)}>
          {text.grid.save}
        </Button>
        <Button className="button quiet" onPress={leave}>
          {text.grid.cancel}
        </Button>
      </div>
    </div>
  );
}

export const ROW_PX = 68; // three lines
export const SHORT_ROW_PX = 34; // one line, when all texts are short
const EDIT_PX = 236;
const BEYOND = 6; // rows drawn above and below the visible ones

/** The range of rows to draw: the visible ones and a few around them. All are `rowPx` high except the edited one. */
function useVisible(
  frame: RefObject<HTMLElement | null>,
  places: number,
  editedPlace: number | undefined,
  rowPx: number,
) {
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      observer.disconnect();
    };
  }, [frame]);
  const isBehindEdit = (place: number) => editedPlace !== undefined && place > editedPlace;
  const topOf = (place: number) => place * rowPx + (isBehindEdit(place) ? EDIT_PX - rowPx : 0);
  const first = Math.max(0, Math.floor(view.top / rowPx) - BEYOND - (editedPlace === undefined ? 0 : 3));
  const last = Math.min(places - 1, Math.ceil((view.top + view.height) / rowPx) + BEYOND);
  return { first, last, topOf, height: topOf(places) };
}
