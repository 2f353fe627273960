import { useId, useRef, useState } from "react";
import type { Estimate } from "../../api/datasets";
import { useServerInfo } from "../../api/server";
import type { Example } from "../../draft";
import { parseExamples } from "../../paste";
import { rowProblems } from "../../rows";
import { text } from "../../text/en";
import { toast } from "../../toasts";
import { gridKeys } from "./gridKeys";
import { GridRows } from "./GridRows";
import { GridToolbar } from "./GridToolbar";
import { PasteDialog } from "./PasteDialog";
import { useGrid } from "./useGrid";

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
  const problems = rowProblems(
    rows,
    { input: limits?.textInputCharacters ?? 40_000, output: limits?.outputCharacters ?? 5_000 },
    isCurrent ? estimate.cutRows : [],
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
        className="grid-frame"
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
          grid={grid}
        />
      </div>
      <p className="help" id={`${id}-help`}>
        {text.grid.help}
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
