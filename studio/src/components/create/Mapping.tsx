import type { Parsed, ReadOptions } from "../../api/datasets";
import { text } from "../../text/en";
import { SelectField } from "../SelectField";

type Role = "input" | "output" | "ignored";
const ROLES: Role[] = ["input", "output", "ignored"];

/** What each column is used for; several may be inputs, one is the output. */
export function Mapping({ parsed, change }: { parsed: Parsed; change: (part: ReadOptions) => void }) {
  const { columns = [], mapping } = parsed;
  const inputs = mapping?.inputColumns ?? [];
  const output = mapping?.outputColumn;
  function use(column: string, role: Role) {
    const others = inputs.filter((name) => name !== column);
    const nextInputs =
      role === "input" ? columns.filter((name) => name === column || others.includes(name)) : others;
    // one output at a time; what was the output before becomes an input, so that no text is lost by a slip
    if (role === "output" && output && output !== column && others.length === 0) nextInputs.push(output);
    const nextOutput = role === "output" ? column : output === column ? undefined : output;
    change({ inputColumn: nextInputs.length > 0 ? nextInputs : undefined, outputColumn: nextOutput });
  }
  const roleOf = (column: string): Role =>
    column === output ? "output" : inputs.includes(column) ? "input" : "ignored";
  return (
    <div className="stack tight">
      <div className="facts-row">
        {columns.map((column) => (
          <SelectField
            key={column}
            label={column}
            value={roleOf(column)}
            isSmall
            change={(role) => use(column, role as Role)}
          >
            {ROLES.map((role) => (
              <option key={role} value={role}>
                {text.import.roles[role]}
              </option>
            ))}
          </SelectField>
        ))}
      </div>
      {inputs.length > 1 && <p className="small soft">{text.import.several}</p>}
    </div>
  );
}
