import { type CSSProperties, type Ref, useId, useImperativeHandle, useRef, useState } from "react";
import { Button, Input, SearchField, Toolbar } from "react-aria-components";
import { ANY_PROBLEM, type Cells, type Filter, placesOf, type RowProblem, withBorder } from "../../rows";
import { SelectField } from "../controls";
import { text } from "../create/text";
import { toast } from "../toasts";
import { type GridColumn, GridRows, ROW_PX, SHORT_ROW_PX } from "./GridRows";
import { type Grid, handleKey, useGrid } from "./useGrid";

/** Actions on a grid from outside: move the focus to it, add rows with an undo. */
export type GridHandle = { focus: () => void; append: (rows: Cells[]) => void };

type RowsGridProps = {
  label: string;
  columns: GridColumn[];
  rows: Cells[];
  change: (rows: Cells[]) => void;
  problems: (RowProblem | undefined)[];
  isWaiting?: boolean; // waiting for the server to check the rows
  tokens?: number[];
  beginning?: string;
  labels?: string[]; // outputs to filter by
  filter: Filter;
  setFilter: (filter: Filter) => void;
  paste: (pasted: string) => void; // asks before rows are added
  ref?: Ref<GridHandle>;
};

/** Rows as a table that can be edited, searched and filtered, by keys or buttons; made for thousands of rows. */
export function RowsGrid({ ref, ...props }: RowsGridProps) {
  const { label, columns, rows, change, problems, tokens, beginning = "", labels, filter, setFilter, paste } = props;
  const id = useId();
  const frame = useRef<HTMLDivElement>(null);
  const grid = useGrid(rows, change, columns.length, placesOf(rows, problems, filter));
  const [widths, setWidths] = useState<number[]>(); // set by the user
  const known = widths?.length === columns.length ? widths : columns.map((_, place) => (place === 0 ? FIRST_WIDTH : 1));
  const moveBorder = (column: number, share: number) => setWidths(withBorder(known, column, share));
  const focus = () => frame.current?.focus();
  useImperativeHandle(ref, () => ({ focus, append: grid.append }));
  const isShort = rows.every((cells) => cells.every((cell, place) => fits(cell, place === 0 ? 60 : 30)));
  const hasProblems = problems.some((problem) => problem !== undefined);
  function show(next: Filter) {
    grid.selectNone(); // rows that are not visible must not be deleted
    setFilter(next);
  }
  function find() {
    if (filter.problem) return show({ ...filter, problem: undefined });
    if (!hasProblems && !props.isWaiting) return toast(text.grid.none);
    show({ ...filter, problem: ANY_PROBLEM });
    focus();
  }
  return (
    <div className="stack tight">
      <GridToolbar
        label={label}
        grid={grid}
        isFiltered={Boolean(filter.problem)}
        find={find}
        isEmpty={rows.length === 0}
        focus={focus}
      />
      <GridFilter filter={filter} show={show} labels={labels} shown={grid.places.length} all={rows.length} />
      <div
        ref={frame}
        className={`grid-frame${hasProblems ? " has-problems" : ""}${isShort ? " short" : ""}${tokens ? " has-tokens" : ""}`}
        style={{ "--cells": known.map((width) => `minmax(0, ${width}fr)`).join(" ") } as CSSProperties}
        role="grid"
        tabIndex={0}
        aria-label={label}
        aria-describedby={`${id}-help`}
        aria-rowcount={grid.places.length + 1}
        aria-colcount={columns.length + (tokens ? 3 : 2)}
        aria-multiselectable
        aria-activedescendant={`${id}-${grid.cursor.row}-${grid.cursor.column}`}
        onKeyDown={(event) => handleKey(event, grid, (share) => moveBorder(grid.cursor.column, share))}
        onPaste={(event) => {
          if (event.target !== event.currentTarget) return; // into a row being edited
          const found = event.clipboardData.getData("text/plain");
          if (found.trim() !== "") paste(found);
        }}
      >
        <GridRows
          id={id}
          frame={frame}
          columns={columns}
          moveBorder={moveBorder}
          rows={rows}
          problems={problems}
          tokens={tokens}
          rowPx={isShort ? SHORT_ROW_PX : ROW_PX}
          beginning={beginning}
          grid={grid}
        />
      </div>
      <p className="help" id={`${id}-help`}>
        {beginning !== "" && text.grid.begins(beginning.trim().slice(0, 60))} {text.grid.help}
      </p>
    </div>
  );
}

const fits = (line: string, characters: number) => line.length <= characters && !line.includes("\n");

const FIRST_WIDTH = 1.6; // the first column usually has the longest texts

type GridToolbarProps = {
  label: string;
  grid: Grid;
  isFiltered: boolean;
  find: () => void;
  isEmpty: boolean;
  focus: () => void;
};

/** Buttons for the same actions as the keys, and for finding problems. */
function GridToolbar({ label, grid, isFiltered, find, isEmpty, focus }: GridToolbarProps) {
  const buttons: [string, () => void, boolean][] = [
    [text.grid.add, grid.add, false],
    [text.grid.edit, () => grid.edit(grid.cursor.row), isEmpty],
    [text.grid.duplicate, grid.duplicate, isEmpty],
    [
      text.grid.remove,
      () => {
        grid.remove();
        focus();
      },
      isEmpty,
    ],
    [isFiltered ? text.grid.showAll : text.grid.find, find, isEmpty],
    [text.grid.unique, grid.removeDuplicates, isEmpty],
  ];
  return (
    <Toolbar className="row toolbar" aria-label={label}>
      {buttons.map(([name, act, isDisabled]) => (
        <Button key={name} className="button small-button" onPress={act} isDisabled={isDisabled}>
          {name}
        </Button>
      ))}
      {grid.selected.size > 0 && <span className="small soft">{text.grid.selected(grid.selected.size)}</span>}
    </Toolbar>
  );
}

type GridFilterProps = {
  filter: Filter;
  show: (filter: Filter) => void;
  labels?: string[];
  shown: number;
  all: number;
};

const SEARCHABLE_ROWS = 10;

/** A search field, a filter by label, and the number of rows shown. */
function GridFilter({ filter, show, labels = [], shown, all }: GridFilterProps) {
  const isFiltered = shown < all;
  if (all < SEARCHABLE_ROWS && !isFiltered && !filter.words) return null;
  const kind = filter.problem === ANY_PROBLEM ? "" : text.problems.kinds[filter.problem ?? ""];
  return (
    <div className="row toolbar">
      <SearchField
        className="react-aria-SearchField grid-search"
        aria-label={text.grid.search}
        value={filter.words ?? ""}
        onChange={(words) => show({ ...filter, words })}
      >
        <Input placeholder={text.grid.search} />
      </SearchField>
      {labels.length > 1 && (
        <SelectField
          label={text.grid.outputFilter}
          isLabelHidden
          isSmall
          value={filter.output ?? ""}
          change={(output) => show({ ...filter, output })}
          options={[["", text.grid.allOutputs], ...labels.map((one) => [one, one] as const)]}
        />
      )}
      <span className="small soft" role="status">
        {isFiltered && text.grid.shown(shown, all, kind)}
      </span>
      {isFiltered && (
        <Button className="button quiet small-button" onPress={() => show({})}>
          {text.grid.noFilter}
        </Button>
      )}
    </div>
  );
}
