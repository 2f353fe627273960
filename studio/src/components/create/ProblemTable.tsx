import { Fragment, useState } from "react";
import { Button } from "react-aria-components";
import type { Problem } from "../../api/examples";
import type { Example } from "../../draft";
import { type Cause, causesOf, type Option, type ReadRow, rowsOf } from "../../reading";
import { csv, download } from "../../transfer";
import { TextInput } from "../controls";
import { Table } from "../Facts";
import { text } from "./text";

type ProblemTableProps = {
  problems: Problem[];
  name: string;
  rowOf: (number: number) => ReadRow | undefined;
  skip: (rows: number[]) => void;
  fix: (row: number, example: Example) => void;
  controls: Set<Option>; // options with a control on the page
  focusControl: (option: Option) => void;
};

const HEADS = [[text.problems.rows], [text.problems.column], [text.problems.what]] as const;

/** All errors and warnings about a file, grouped by kind, errors first; each cause in one sentence. */
export function ProblemTable({ problems, name, skip, ...inRows }: ProblemTableProps) {
  const groups = causesOf(problems);
  const errors = problems.filter(({ level }) => level === "error");
  const badRows = rowsOf(errors.filter(({ isSkippable }) => isSkippable));
  return (
    <section className="stack tight" aria-labelledby="problems">
      <div className="row spread">
        <h3 id="problems">
          {text.problems.title}{" "}
          <span className="soft small">
            {[
              errors.length > 0 && text.problems.errors(errors.length),
              errors.length < problems.length && text.problems.warnings(problems.length - errors.length),
            ]
              .filter(Boolean)
              .join(", ")}
          </span>
        </h3>
        <div className="row">
          {badRows.length > 0 && <Button onPress={() => skip(badRows)}>{text.problems.skipAll(badRows.length)}</Button>}
          <Button className="button quiet" onPress={() => save(problems, name)}>
            {text.problems.csv}
          </Button>
        </div>
      </div>
      <Table className="small problems" heads={HEADS} label={text.problems.title}>
        {groups.map((group) => (
          <ProblemGroup key={`${group[0]?.level} ${group[0]?.kind}`} group={group} skip={skip} {...inRows} />
        ))}
      </Table>
    </section>
  );
}

function save(problems: Problem[], name: string) {
  const rows = problems.map(({ level, kind, row, column, message, limit, actual }) => [
    level,
    kind,
    row,
    column,
    message,
    limit,
    actual,
  ]);
  const head = ["level", "kind", "row", "column", "message", "limit", "actual"];
  download(`${name.replace(/\.[^.]*$/, "")}-problems.csv`, csv([head, ...rows]), "text/csv");
}

const FIRST_CAUSES = 5; // shown for a kind at first
const MORE_CAUSES = 50;

type ProblemGroupProps = Omit<ProblemTableProps, "problems" | "name"> & { group: Cause[] };

/** The causes of one kind, each with its rows and a link to the control that settles it. */
function ProblemGroup({ group, skip, ...inRows }: ProblemGroupProps) {
  const [limit, setLimit] = useState(FIRST_CAUSES);
  const [first] = group;
  if (!first) return null;
  const isError = first.level === "error";
  const rows = [...new Set(group.flatMap((cause) => cause.rows))];
  return (
    <tbody>
      <tr className="group">
        <th scope="rowgroup" colSpan={HEADS.length}>
          <span className="row spread">
            <span>
              <span className={`badge ${isError ? "bad" : "warn"}`}>
                {isError ? text.problems.error : text.problems.warning}
              </span>{" "}
              {text.problems.kinds[first.kind] ?? first.kind} {rows.length > 1 && `(${text.import.found(rows.length)})`}
            </span>
            {first.isSkippable && rows.length > 0 && (
              <Button className="button quiet" onPress={() => skip(rows)}>
                {text.problems.skip(rows.length)}
              </Button>
            )}
          </span>
        </th>
      </tr>
      {group.slice(0, limit).map((cause, place) => (
        <CauseRows key={place} cause={cause} skip={skip} {...inRows} />
      ))}
      {group.length > limit && (
        <tr className="more">
          <td colSpan={HEADS.length}>
            <Button className="button quiet small-button" onPress={() => setLimit(limit + MORE_CAUSES)}>
              {text.problems.showMore(group.length - limit)}
            </Button>
          </td>
        </tr>
      )}
    </tbody>
  );
}

type CauseRowsProps = Omit<ProblemGroupProps, "group"> & { cause: Cause };

/** One cause: its rows, column and sentence, and below them the row that is open. */
function CauseRows({ cause, rowOf, skip, fix, controls, focusControl }: CauseRowsProps) {
  const [shownRow, setShownRow] = useState<number>();
  const row = shownRow !== undefined && cause.rows.includes(shownRow) ? rowOf(shownRow) : undefined;
  const other = cause.otherRow === undefined ? undefined : rowOf(cause.otherRow);
  return (
    <Fragment>
      <tr className="cause">
        <td>
          <RowNumbers
            rows={cause.rows}
            canShow={(number) => rowOf(number) !== undefined}
            shown={row?.number}
            show={(number) => setShownRow(number === row?.number ? undefined : number)}
          />
        </td>
        <td>{cause.column ?? "–"}</td>
        <td>
          <span className="sentence">{cause.message}</span>
          <WayToControl option={cause.option as Option | undefined} controls={controls} focusControl={focusControl} />
        </td>
      </tr>
      {row && (
        <tr className="shown-row">
          <td colSpan={HEADS.length}>
            <ProblemRow
              key={row.number}
              row={row}
              other={other}
              canEdit={cause.isSkippable}
              skip={() => skip([row.number])}
              fix={(example) => fix(row.number, example)}
            />
          </td>
        </tr>
      )}
    </Fragment>
  );
}

const FIRST_ROWS = 10; // shown for a cause at first
const MORE_ROWS = 100;

type RowNumbersProps = {
  rows: number[];
  canShow: (row: number) => boolean;
  shown?: number;
  show: (row: number) => void;
};

/** The rows of a cause; a press shows one of them. */
function RowNumbers({ rows, canShow, shown, show }: RowNumbersProps) {
  const [limit, setLimit] = useState(FIRST_ROWS);
  if (rows.length === 0) return text.problems.wholeFile;
  return (
    <span className="row-numbers">
      {rows.slice(0, limit).map((row) =>
        canShow(row) ? (
          <Button
            key={row}
            className="button quiet tiny"
            aria-label={text.problems.showRowNumber(row)}
            aria-expanded={row === shown}
            onPress={() => show(row)}
          >
            {row}
          </Button>
        ) : (
          <span key={row}>{row}</span>
        ),
      )}
      {rows.length > limit && (
        <Button className="button quiet tiny" onPress={() => setLimit(limit + MORE_ROWS)}>
          {text.problems.more(rows.length - limit)}
        </Button>
      )}
    </span>
  );
}

type WayToControlProps = Pick<ProblemTableProps, "controls" | "focusControl"> & { option?: Option };

/** A button that leads to the control for the option in a message. */
function WayToControl({ option, controls, focusControl }: WayToControlProps) {
  if (!option || !controls.has(option)) return null;
  return (
    <Button className="button quiet small-button to-control" onPress={() => focusControl(option)}>
      {text.problems.toControl[option]}
    </Button>
  );
}

type ProblemRowProps = {
  row: ReadRow;
  other?: ReadRow; // the row that it repeats or contradicts
  canEdit: boolean;
  skip: () => void;
  fix: (example: Example) => void;
};

/** A row with a problem as it is in the file, next to the row it repeats; it can be skipped or fixed here. */
function ProblemRow({ row, other, canEdit, skip, fix }: ProblemRowProps) {
  const [isFixing, setFixing] = useState(false);
  return (
    <div className="stack tight problem-row">
      <div className="row-pair">
        {other && <RowCells row={other} />}
        <RowCells row={row} />
      </div>
      {isFixing ? (
        <RowEditor row={row} save={fix} cancel={() => setFixing(false)} />
      ) : (
        canEdit && (
          <div className="row">
            <Button className="button small-button" onPress={() => setFixing(true)}>
              {text.problems.fixRow(row.number)}
            </Button>
            <Button className="button small-button" onPress={skip}>
              {text.problems.skipRow(row.number)}
            </Button>
          </div>
        )
      )}
    </div>
  );
}

/** The cells of a row under the names of their columns, or a line that could not be read. */
function RowCells({ row: { number, cells, line } }: { row: ReadRow }) {
  return (
    <section aria-label={text.problems.rowNumber(number)}>
      <strong className="small">{text.problems.rowNumber(number)}</strong>
      {line !== undefined ? (
        <pre className="small" dir="auto">
          {line}
        </pre>
      ) : (
        <dl className="example">
          {cells.map(({ column, cell }, place) => (
            <div key={place}>
              <dt>{column}</dt>
              <dd dir="auto">{cell || <span className="soft">{text.common.empty}</span>}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

type RowEditorProps = { row: ReadRow; save: (example: Example) => void; cancel: () => void };

/** Input and output of a row as corrected by the user; the file is not changed. */
function RowEditor({ row, save, cancel }: RowEditorProps) {
  const [value, setValue] = useState(row.example);
  const isWhole = value.textInput.trim() !== "" && value.output.trim() !== "";
  return (
    <div className="stack tight">
      <div className="row-pair">
        <TextInput
          label={text.problems.inputOf(row.number)}
          value={value.textInput}
          change={(textInput) => setValue({ ...value, textInput })}
          area={{ rows: 3 }}
        />
        <TextInput
          label={text.problems.outputOf(row.number)}
          value={value.output}
          change={(output) => setValue({ ...value, output })}
          area={{ rows: 3 }}
        />
      </div>
      <div className="row">
        <Button className="button primary small-button" isDisabled={!isWhole} onPress={() => save(value)}>
          {text.problems.saveFix}
        </Button>
        <Button className="button quiet small-button" onPress={cancel}>
          {text.common.cancel}
        </Button>
      </div>
    </div>
  );
}
