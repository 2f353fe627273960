import { Button } from "react-aria-components";
import type { Problem } from "../../api/datasets";
import { csv, download } from "../../download";
import { text } from "../../text/en";
import { ScrollRegion } from "../ScrollRegion";
import { ProblemGroup } from "./ProblemGroup";

type Props = {
  problems: Problem[];
  name: string;
  canShow: (row: number) => boolean;
  show: (row: number) => void;
  skip: (rows: number[]) => void;
};

const HEADS = [
  text.problems.row,
  text.problems.column,
  text.problems.what,
  text.problems.limit,
  text.problems.actual,
];

/** All that is wrong or doubtful about a file, grouped by kind, errors first. */
export function ProblemTable({ problems, name, canShow, show, skip }: Props) {
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
          {badRows.length > 0 && (
            <Button onPress={() => skip(badRows)}>{text.problems.skipAll(badRows.length)}</Button>
          )}
          <Button className="button quiet" onPress={() => save(problems, name)}>
            {text.problems.csv}
          </Button>
        </div>
      </div>
      <ScrollRegion height={340} label={text.problems.title}>
        <table className="list small problems">
          <thead>
            <tr>
              {HEADS.map((head) => (
                <th scope="col" key={head}>
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          {groups.map((group) => (
            <ProblemGroup key={group[0]?.kind} group={group} canShow={canShow} show={show} skip={skip} />
          ))}
        </table>
      </ScrollRegion>
    </section>
  );
}

export const rowsOf = (problems: Problem[]) => [
  ...new Set(problems.flatMap(({ row }) => (row === undefined ? [] : [row]))),
];

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
