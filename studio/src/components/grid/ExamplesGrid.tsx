import { useId, useMemo, useRef, useState } from "react";
import { Button, Toolbar } from "react-aria-components";
import { useIsSignedIn, useLimits } from "../../api/account";
import type { Estimate } from "../../api/examples";
import type { Example } from "../../draft";
import { type Refused, rowProblems } from "../../rows";
import { parsePasted, pastedFile } from "../../transfer";
import { PastedNotes } from "../create/PastedNotes";
import { text } from "../create/text";
import { Window } from "../dialogs";
import { Table } from "../Facts";
import { toast } from "../toasts";
import { GridRows, ROW_PX, SHORT_ROW_PX } from "./GridRows";
import { type Grid, handleKey, useGrid } from "./useGrid";

type ExamplesGridProps = {
  rows: Example[];
  change: (rows: Example[]) => void;
  read: (file: File) => void; // rows of several columns, to be added
  estimate?: Estimate;
  refused: Refused[];
};

/** The examples as a table that can be edited, by keys or buttons; made for thousands of rows. */
export function ExamplesGrid({ rows, change, read, estimate, refused }: ExamplesGridProps) {
  const id = useId();
  const frame = useRef<HTMLDivElement>(null);
  const grid = useGrid(rows, change);
  const [isFiltered, setFiltered] = useState(false);
  const [pasted, setPasted] = useState<string>();
  const { textInputCharacters: input, outputCharacters: output } = useLimits();
  const isCurrent = estimate?.exampleTokens.length === rows.length;
  const isWaiting = useIsSignedIn() === true && !isCurrent && refused.length === 0; // for the server to look at the rows
  const problems = useMemo(() => {
    const cut = estimate?.cutRows?.map((row) => ({ row, kind: "long-row" })) ?? [];
    const warnings = isCurrent ? [...cut, ...(estimate?.problems ?? [])] : [];
    return rowProblems(rows, { input, output }, warnings, refused);
  }, [rows, input, output, isCurrent, estimate, refused]);
  const prefix = estimate?.inputs?.prefix ?? "";
  const beginning = prefix.length < LONG ? "" : prefix;
  const isShort = useMemo(() => rows.every(({ textInput, output }) => fits(textInput, 60) && fits(output, 30)), [rows]);
  const all = [...rows.keys()];
  const withProblem = all.filter((row) => problems[row] !== undefined || row === grid.editing);
  const showsSome = isFiltered && withProblem.length > 0;
  const places = showsSome ? withProblem : all;
  function find() {
    if (showsSome) return setFiltered(false);
    const [first] = withProblem;
    if (first === undefined && !isWaiting) return toast(text.grid.none);
    setFiltered(true);
    if (first !== undefined) grid.move(first);
    frame.current?.focus();
  }
  return (
    <div className="stack tight">
      <GridToolbar
        grid={grid}
        isFiltered={showsSome}
        find={find}
        isEmpty={rows.length === 0}
        focusGrid={() => frame.current?.focus()}
      />
      <div
        ref={frame}
        className={`grid-frame${problems.some((problem) => problem !== undefined) ? " has-problems" : ""}${isShort ? " short" : ""}`}
        role="grid"
        tabIndex={0}
        aria-label={text.grid.label}
        aria-describedby={`${id}-help`}
        aria-rowcount={places.length + 1}
        aria-colcount={5}
        aria-multiselectable
        aria-activedescendant={`${id}-${grid.cursor.row}-${grid.cursor.column}`}
        onKeyDown={(event) => handleKey(event, grid, places)}
        onPaste={(event) => {
          if (event.target !== event.currentTarget) return; // into a row being edited
          const found = event.clipboardData.getData("text/plain");
          if (found.trim() !== "") setPasted(found);
        }}
      >
        <GridRows
          id={id}
          frame={frame}
          rows={rows}
          places={places}
          problems={problems}
          tokens={isCurrent ? estimate.exampleTokens : []}
          rowPx={isShort ? SHORT_ROW_PX : ROW_PX}
          beginning={beginning}
          grid={grid}
        />
      </div>
      <p className="help" id={`${id}-help`}>
        {beginning !== "" && text.grid.begins(beginning.trim().slice(0, 60))} {text.grid.help}
      </p>
      {pasted !== undefined && (
        <PasteDialog
          pasted={pasted}
          add={grid.append}
          read={read}
          onClose={() => {
            setPasted(undefined);
            frame.current?.focus();
          }}
        />
      )}
    </div>
  );
}

const LONG = 30; // characters; a shorter beginning is shown in each row

const fits = (line: string, characters: number) => line.length <= characters && !line.includes("\n");

type GridToolbarProps = {
  grid: Grid;
  isFiltered: boolean;
  find: () => void;
  isEmpty: boolean;
  focusGrid: () => void;
};

/** Buttons for what the keys do, and for finding problems. */
function GridToolbar({ grid, isFiltered, find, isEmpty, focusGrid }: GridToolbarProps) {
  const buttons: [string, () => void, boolean][] = [
    [text.grid.add, grid.add, false],
    [text.grid.edit, () => grid.edit(grid.cursor.row), isEmpty],
    [text.grid.duplicate, grid.duplicate, isEmpty],
    [
      text.grid.remove,
      () => {
        grid.remove();
        focusGrid();
      },
      isEmpty,
    ],
    [isFiltered ? text.grid.showAll : text.grid.find, find, isEmpty],
    [text.grid.unique, grid.removeDuplicates, isEmpty],
  ];
  return (
    <Toolbar className="row toolbar" aria-label={text.grid.label}>
      {buttons.map(([label, act, isDisabled]) => (
        <Button key={label} className="button small-button" onPress={act} isDisabled={isDisabled}>
          {label}
        </Button>
      ))}
      {grid.selected.size > 0 && <span className="small soft">{text.grid.selected(grid.selected.size)}</span>}
    </Toolbar>
  );
}

const SHOWN = 5;

type PasteDialogProps = {
  pasted: string;
  add: (rows: Example[]) => void;
  read: (file: File) => void;
  onClose: () => void;
};

/** Rows pasted from a spreadsheet, before they are added. */
function PasteDialog({ pasted, add, read, onClose }: PasteDialogProps) {
  const found = useMemo(() => parsePasted(pasted), [pasted]);
  const { rows, width } = found;
  const [label, act] =
    width > 2
      ? [text.import.chooseColumns, () => read(pastedFile(pasted, text.import.pastedName))]
      : [text.grid.addRows(rows.length), () => add(rows)];
  return (
    <Window title={text.grid.pasteTitle(rows.length)} isOpen onClose={onClose}>
      {width <= 2 && (
        <Table className="small" heads={[[text.grid.input], [text.grid.output]]}>
          <tbody>
            {rows.slice(0, SHOWN).map(({ textInput, output }, place) => (
              <tr key={place}>
                <td>
                  <div dir="auto" className="clamp">
                    {textInput}
                  </div>
                </td>
                <td>
                  <div dir="auto" className="clamp">
                    {output}
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
      {width <= 2 && rows.length > SHOWN && <p className="soft small">{text.grid.pasteMore(rows.length - SHOWN)}</p>}
      <PastedNotes pasted={found} />
      <div className="row end">
        <Button onPress={onClose}>{text.common.cancel}</Button>
        <Button
          className="button primary"
          isDisabled={rows.length === 0}
          onPress={() => {
            act();
            onClose();
          }}
        >
          {label}
        </Button>
      </div>
    </Window>
  );
}
