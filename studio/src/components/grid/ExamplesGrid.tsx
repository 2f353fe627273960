import { useId, useMemo, useRef, useState } from "react";
import type { Estimate } from "../../api/datasets";
import { useServerInfo } from "../../api/server";
import type { Example } from "../../draft";
import { parseExamples } from "../../paste";
import { rowProblems } from "../../rows";
import { commonBeginning } from "../../shape";
import { text } from "../../text/en";
import { toast } from "../../toasts";
import { gridKeys } from "./gridKeys";
import { GridRows } from "./GridRows";
import { GridToolbar } from "./GridToolbar";
import { PasteDialog } from "./PasteDialog";
import { useGrid } from "./useGrid";
import { ROW_PX, SHORT_ROW_PX } from "./useVisible";

type Props = { rows: Example[]; change: (rows: Example[]) => void; estimate?: Estimate };

/** The examples as a table to be edited, with thousands of rows as with ten; keys and buttons do the same. */
export function ExamplesGrid({ rows, change, estimate }: Props) {
  const id = useId();
  const frame = useRef<HTMLDivElement>(null);
  const grid = useGrid(rows, change);
  const [isFiltered, setFiltered] = useState(false);
  const [pasted, setPasted] = useState<Example[]>();
  const limits = useServerInfo().data?.limits;
  const isCurrent = estimate?.exampleTokens.length === rows.length;
  const [inputLimit, outputLimit] = [
    limits?.textInputCharacters ?? 40_000,
    limits?.outputCharacters ?? 5_000,
  ];
  const cut = isCurrent ? estimate.cutRows : undefined;
  const problems = useMemo(
    () => rowProblems(rows, { input: inputLimit, output: outputLimit }, cut),
    [rows, inputLimit, outputLimit, cut],
  );
  const beginning = useMemo(() => longBeginning(rows), [rows]);
  const isShort = useMemo(
    () => rows.every(({ textInput, output }) => fits(textInput, 60) && fits(output, 30)),
    [rows],
  );
  const all = [...rows.keys()];
  const withProblem = all.filter((row) => problems[row] !== undefined || row === grid.editing);
  const places = isFiltered && withProblem.length > 0 ? withProblem : all;
  function find() {
    if (isFiltered) return setFiltered(false);
    const [first] = withProblem;
    if (first === undefined) return toast(text.grid.none);
    setFiltered(true);
    grid.move(first);
    frame.current?.focus();
  }
  return (
    <div className="stack tight">
      <GridToolbar
        grid={grid}
        isFiltered={places !== all}
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
        onKeyDown={(event) => gridKeys(event, grid, places)}
        onPaste={(event) => {
          if (event.target !== event.currentTarget) return; // into a text under edit
          const { examples } = parseExamples(event.clipboardData.getData("text/plain"));
          if (examples.length > 0) setPasted(examples);
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
      {pasted && (
        <PasteDialog
          examples={pasted}
          add={() => grid.append(pasted)}
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

function longBeginning(rows: Example[]): string {
  const beginning = commonBeginning(rows.map(({ textInput }) => textInput));
  return beginning.length >= LONG ? beginning : "";
}

const fits = (line: string, characters: number) => line.length <= characters && !line.includes("\n");
