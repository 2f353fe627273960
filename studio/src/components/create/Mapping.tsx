import { useState } from "react";
import type { Parsed, ReadOptions } from "../../api/datasets";
import { text } from "../../text/en";
import { SelectField } from "../SelectField";

type Role = "input" | "output" | "ignored";
type Roles = Record<string, Role>;
const ROLES: Role[] = ["input", "output", "ignored"];

/** What each column is used for; several may be inputs, one is the output. Choices build on those before. */
export function Mapping({ parsed, change }: { parsed: Parsed; change: (part: ReadOptions) => void }) {
  const { columns = [], mapping } = parsed;
  const [chosen, setChosen] = useState<Roles>(); // undefined: as the server suggests
  const roles = chosen ?? suggested(columns, mapping);
  const inputs = columns.filter((name) => roles[name] === "input");
  const output = columns.find((name) => roles[name] === "output");
  function use(column: string, role: Role) {
    const next = { ...roles, [column]: role };
    if (role === "output" && output && output !== column)
      next[output] = inputs.some((name) => name !== column) ? "ignored" : "input"; // there is one output only
    setChosen(next);
    const nextOutput = columns.find((name) => next[name] === "output");
    const nextInputs = columns.filter((name) => next[name] === "input");
    if (nextOutput && nextInputs.length > 0) change({ inputColumn: nextInputs, outputColumn: nextOutput });
  }
  return (
    <div className="stack tight">
      <div className="facts-row">
        {columns.map((column) => (
          <SelectField
            key={column}
            label={column}
            value={roles[column] ?? "ignored"}
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
      {(inputs.length === 0 || !output) && <p className="small wrong">{text.import.needBoth}</p>}
    </div>
  );
}

function suggested(columns: string[], mapping: Parsed["mapping"]): Roles {
  const inputs = mapping?.inputColumns ?? [];
  const roleOf = (name: string): Role =>
    name === mapping?.outputColumn ? "output" : inputs.includes(name) ? "input" : "ignored";
  return Object.fromEntries(columns.map((name) => [name, roleOf(name)]));
}
