import { useMemo, useRef, useState } from "react";
import { Button, FileTrigger } from "react-aria-components";
import { type Parsed, parseFile, type ReadOptions } from "../../api/examples";
import { pastedCells, type PromptParts, promptProblems, rowsOfFile, withColumnsOf } from "../../prompt";
import type { NumberedExample } from "../../reading";
import { type Cells, type Filter } from "../../rows";
import { useImport } from "../../useImport";
import { ImportPreview } from "../create/ImportPreview";
import { Window } from "../dialogs";
import { PasteButtons, PastedRows } from "../grid/ExamplesGrid";
import { type GridHandle, RowsGrid } from "../grid/RowsGrid";
import { ErrorNote, Skeleton } from "../Page";
import { toast, toastError } from "../toasts";
import { text } from "./text";

type RowsEditorProps = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

const columnName = ({ prefix, isInput }: PromptParts["columns"][number]) =>
  prefix || (isInput ? text.prompts.input : text.prompts.output);

/** The rows of a prompt in the grid: typed, pasted from a spreadsheet, or imported from a file. */
export function RowsEditor({ parts, change }: RowsEditorProps) {
  const { rows, columns } = parts;
  const grid = useRef<GridHandle>(null);
  const [filter, setFilter] = useState<Filter>({});
  const [pasted, setPasted] = useState<string>();
  const problems = useMemo(() => promptProblems(columns, rows), [columns, rows]);
  const cells = useMemo(() => rows.map((row) => columns.map((_, place) => row[place] ?? "")), [rows, columns]);
  const setRows = (next: Cells[]) => change({ rows: next.map((row) => [...row]) });
  return (
    <section className="card stack" aria-labelledby="rows">
      <h2 id="rows">
        {text.prompts.examples} <span className="soft small">{text.prompts.rows(rows.length)}</span>
      </h2>
      <RowsGrid
        ref={grid}
        label={text.prompts.examples}
        columns={columns.map((column) => ({
          name: columnName(column),
          labelOf: (row) => text.prompts.cell(column.prefix, row),
        }))}
        rows={cells}
        change={setRows}
        problems={problems}
        filter={filter}
        setFilter={setFilter}
        paste={setPasted}
      />
      <FileImport parts={parts} change={change} />
      {pasted !== undefined && (
        <PasteDialog
          pasted={pasted}
          columns={columns}
          add={(more) => grid.current?.append(more)}
          onClose={() => {
            setPasted(undefined);
            grid.current?.focus();
          }}
        />
      )}
    </section>
  );
}

type PasteDialogProps = {
  pasted: string;
  columns: PromptParts["columns"];
  add: (rows: Cells[]) => void;
  onClose: () => void;
};

/** Rows pasted from a spreadsheet, before they are added. */
function PasteDialog({ pasted, columns, add, onClose }: PasteDialogProps) {
  const { rows, header } = useMemo(() => pastedCells(pasted, columns), [pasted, columns]);
  return (
    <Window title={text.prompts.pasteTitle(rows.length)} isOpen onClose={onClose}>
      <PastedRows heads={columns.map(columnName)} rows={rows} />
      {header && <p className="small soft">{text.prompts.headerLeft}</p>}
      <PasteButtons
        label={text.prompts.addRows(rows.length)}
        isDisabled={rows.length === 0}
        act={() => add(rows)}
        onClose={onClose}
      />
    </Window>
  );
}

const ALL_ROWS = "100000"; // rows of a file that the server returns

/** Rows from a file: the same preview as for a tuned model, then one cell for each column of the prompt. */
function FileImport({ parts, change }: RowsEditorProps) {
  const importing = useImport();
  const { parsed, error, isReading } = importing;
  async function use(found: Parsed, examples: NumberedExample[], options: ReadOptions) {
    const whole = await parseFile(found.file, { ...options, sampleRows: ALL_ROWS });
    const columns = withColumnsOf(whole, parts);
    const more = rowsOfFile(whole, examples, columns);
    const { rows, columns: before } = parts;
    const filled = rows.filter((cells) => cells.some((cell) => cell.trim()));
    change({ columns, rows: [...filled, ...more] });
    importing.leave();
    const undo = { label: text.toast.undo, act: () => change({ rows, columns: before }) };
    toast(text.prompts.added(more.length), { action: undo, topic: "grid" });
  }
  return (
    <div className="stack">
      <div>
        <FileTrigger onSelect={(files) => files?.[0] && importing.start(files[0])}>
          <Button>{text.prompts.importRows}</Button>
        </FileTrigger>
      </div>
      {error && <ErrorNote error={error.cause} retry={error.retry} />}
      {isReading && !parsed && <Skeleton />}
      {parsed && (
        <section className="panel stack" aria-label={text.prompts.importRows}>
          <ImportPreview
            key={importing.number}
            parsed={parsed}
            isReading={isReading}
            again={importing.again}
            leave={importing.leave}
            use={(examples, options) => void use(parsed, examples, options).catch(toastError)}
          />
        </section>
      )}
    </div>
  );
}
