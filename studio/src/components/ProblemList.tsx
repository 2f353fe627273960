import type { Problem } from "../api/datasets";
import { text } from "../text/en";
import { ScrollRegion } from "./ScrollRegion";

const SHOWN = 100;

/** What is wrong or doubtful about rows: errors first, each with its row, column and value. */
export function ProblemList({ problems }: { problems: Problem[] }) {
  if (problems.length === 0) return null;
  const sorted = [...problems].sort((a, b) => Number(b.level === "error") - Number(a.level === "error"));
  return (
    <ScrollRegion height={300} label={text.create.problems}>
      <table className="list small">
        <caption className="visually-hidden">{text.create.problems}</caption>
        <thead>
          <tr>
            <th scope="col">Level</th>
            <th scope="col">Row</th>
            <th scope="col">Column</th>
            <th scope="col">What</th>
          </tr>
        </thead>
        <tbody>
          {sorted.slice(0, SHOWN).map((problem, index) => (
            <tr key={index}>
              <td>
                <span className={`badge ${problem.level === "error" ? "bad" : "warn"}`}>{problem.level}</span>
              </td>
              <td>{problem.row ?? "–"}</td>
              <td>{problem.column ?? "–"}</td>
              <td>{problem.message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}
