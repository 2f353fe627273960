import { Button } from "react-aria-components";
import type { Problem } from "../../api/examples";
import { type Cause, causesOf, type Option, rowsOf } from "../../reading";
import { csv, download } from "../../transfer";
import { ScrollRegion, Table } from "../Facts";
import { text } from "./text";

type ProblemTableProps = {
  problems: Problem[];
  name: string;
  canShow: (row: number) => boolean;
  show: (row: number) => void;
  skip: (rows: number[]) => void;
  controls: Set<Option>; // that are on the page
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
      <ScrollRegion height={340} label={text.problems.title}>
        <Table className="small problems" heads={HEADS}>
          {groups.map((group) => (
            <ProblemGroup key={`${group[0]?.level} ${group[0]?.kind}`} group={group} skip={skip} {...inRows} />
          ))}
        </Table>
      </ScrollRegion>
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

const SHOWN_CAUSES = 50; // of a kind
const SHOWN_ROWS = 10; // of a cause

type ProblemGroupProps = Omit<ProblemTableProps, "problems" | "name"> & { group: Cause[] };

/** The causes of one kind, each with its rows and with a way to the control that settles it. */
function ProblemGroup({ group, skip, canShow, show, controls, focusControl }: ProblemGroupProps) {
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
      {group.slice(0, SHOWN_CAUSES).map((cause, place) => (
        <tr key={place}>
          <td>
            <RowNumbers rows={cause.rows} canShow={canShow} show={show} />
          </td>
          <td>{cause.column ?? "–"}</td>
          <td>
            <span className="sentence">{cause.message}</span>
            <WayToControl option={cause.option as Option | undefined} controls={controls} focusControl={focusControl} />
          </td>
        </tr>
      ))}
      {group.length > SHOWN_CAUSES && (
        <tr>
          <td colSpan={HEADS.length} className="soft">
            {text.problems.more(group.length - SHOWN_CAUSES)}
          </td>
        </tr>
      )}
    </tbody>
  );
}

type RowNumbersProps = Pick<ProblemTableProps, "canShow" | "show"> & { rows: number[] };

/** The rows of a cause; those in the sample can be shown there. */
function RowNumbers({ rows, canShow, show }: RowNumbersProps) {
  if (rows.length === 0) return text.problems.wholeFile;
  return (
    <span className="row-numbers">
      {rows.slice(0, SHOWN_ROWS).map((row) =>
        canShow(row) ? (
          <Button
            key={row}
            className="button quiet tiny"
            aria-label={text.problems.showRowNumber(row)}
            onPress={() => show(row)}
          >
            {row}
          </Button>
        ) : (
          <span key={row}>{row}</span>
        ),
      )}
      {rows.length > SHOWN_ROWS && <span className="soft">{text.problems.more(rows.length - SHOWN_ROWS)}</span>}
    </span>
  );
}

type WayToControlProps = Pick<ProblemTableProps, "controls" | "focusControl"> & { option?: Option };

/** A button that leads to where the option of a message is set. */
function WayToControl({ option, controls, focusControl }: WayToControlProps) {
  if (!option || !controls.has(option)) return null;
  return (
    <Button className="button quiet small-button to-control" onPress={() => focusControl(option)}>
      {text.problems.toControl[option]}
    </Button>
  );
}
