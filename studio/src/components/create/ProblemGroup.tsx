import { Button } from "react-aria-components";
import type { Problem } from "../../api/datasets";
import { count } from "../../format";
import { text } from "../../text/en";
import { rowsOf } from "./ProblemTable";

const SHOWN = 50;
const ABOUT_THE_FILE = /^(guessed-|ignored-|few-|hidden-|several-)/; // leaving out a row would not mend these

type Props = {
  group: Problem[];
  canShow: (row: number) => boolean;
  show: (row: number) => void;
  skip: (rows: number[]) => void;
};

/** Problems of one kind: what they are, and each with its row. */
export function ProblemGroup({ group, canShow, show, skip }: Props) {
  const [first] = group;
  if (!first) return null;
  const isError = first.level === "error";
  const rows = ABOUT_THE_FILE.test(first.kind) ? [] : rowsOf(group);
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
