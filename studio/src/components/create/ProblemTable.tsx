import { Button } from "react-aria-components";
import type { Problem } from "../../api/examples";
import { count } from "../../format";
import { csv, download } from "../../transfer";
import { ScrollRegion, Table } from "../Facts";
import { text } from "./text";

type ProblemTableProps = {
  problems: Problem[];
  name: string;
  canShow: (row: number) => boolean;
  show: (row: number) => void;
  skip: (rows: number[]) => void;
};

const HEADS = [
  [text.problems.row],
  [text.problems.column],
  [text.problems.what],
  [text.problems.limit],
  [text.problems.actual],
] as const;

/** All errors and warnings about a file, grouped by kind, errors first. */
export function ProblemTable({ problems, name, canShow, show, skip }: ProblemTableProps) {
  const groups = grouped(problems);
  const errors = problems.filter(({ level }) => level === "error");
  const badRows = rowsOf(errors);
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
            <ProblemGroup key={group[0]?.kind} group={group} canShow={canShow} show={show} skip={skip} />
          ))}
        </Table>
      </ScrollRegion>
    </section>
  );
}

const rowsOf = (problems: Problem[]) => [...new Set(problems.flatMap(({ row }) => (row === undefined ? [] : [row])))];

function grouped(problems: Problem[]): Problem[][] {
  const groups = new Map<string, Problem[]>();
  for (const problem of problems) {
    const key = `${problem.level}/${problem.kind}`;
    groups.set(key, [...(groups.get(key) ?? []), problem]);
  }
  const isError = (group: Problem[]) => Number(group[0]?.level === "error");
  return [...groups.values()].sort((a, b) => isError(b) - isError(a));
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

const SHOWN = 50;

type ProblemGroupProps = {
  group: Problem[];
  canShow: (row: number) => boolean;
  show: (row: number) => void;
  skip: (rows: number[]) => void;
};

/** The problems of one kind, each with its row. */
function ProblemGroup({ group, canShow, show, skip }: ProblemGroupProps) {
  const [first] = group;
  if (!first) return null;
  const isError = first.level === "error";
  const rows = first.isSkippable ? rowsOf(group) : [];
  return (
    <tbody>
      <tr className="group">
        <th scope="rowgroup" colSpan={5}>
          <span className="row spread">
            <span>
              <span className={`badge ${isError ? "bad" : "warn"}`}>
                {isError ? text.problems.error : text.problems.warning}
              </span>{" "}
              {text.problems.kinds[first.kind] ?? first.kind} ({count(group.length)})
            </span>
            {rows.length > 0 && (
              <Button className="button quiet" onPress={() => skip(rows)}>
                {text.problems.skip(rows.length)}
              </Button>
            )}
          </span>
        </th>
      </tr>
      {group.slice(0, SHOWN).map((problem, place) => (
        <tr key={place}>
          <td className="nowrap">
            {problem.row ?? text.problems.wholeFile}{" "}
            {problem.row !== undefined && canShow(problem.row) && (
              <Button
                className="button quiet tiny"
                aria-label={text.problems.showRowNumber(problem.row)}
                onPress={() => show(problem.row ?? 0)}
              >
                {text.problems.showRow}
              </Button>
            )}
          </td>
          <td>{problem.column ?? "–"}</td>
          <td className="sentence">{problem.message}</td>
          <td className="number">{problem.limit === undefined ? "–" : count(problem.limit)}</td>
          <td className="number">{problem.actual === undefined ? "–" : count(problem.actual)}</td>
        </tr>
      ))}
      {group.length > SHOWN && (
        <tr>
          <td colSpan={5} className="soft">
            {text.problems.more(group.length - SHOWN)}
          </td>
        </tr>
      )}
    </tbody>
  );
}
