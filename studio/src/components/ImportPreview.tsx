import { Button } from "react-aria-components";
import type { Parsed } from "../api/datasets";
import type { Example } from "../draft";
import { count } from "../format";
import { text } from "../text/en";
import { ProblemList } from "./ProblemList";

type Props = {
  parsed: Parsed;
  again: (options: Record<string, string>) => void;
  leave: () => void;
  use: (examples: Example[]) => void;
};

/** How a file was read, which columns it has, what is wrong with it; nothing is imported before the button. */
export function ImportPreview({ parsed, again, leave, use }: Props) {
  const { columns = [], mapping, examples = [], problems, rowCount = 0 } = parsed;
  const errors = problems.filter(({ level }) => level === "error");
  const chosen = { inputColumn: mapping?.inputColumns[0] ?? "", outputColumn: mapping?.outputColumn ?? "" };
  const skip = [...new Set(errors.flatMap(({ row }) => (row ? [row] : [])))].join(",");
  return (
    <>
      <div className="row spread">
        <div>
          <strong>{parsed.file.name}</strong> · {parsed.format}
          {parsed.encoding && ` · ${parsed.encoding}`} · {count(rowCount)} rows
        </div>
        <Button className="button quiet" onPress={leave}>
          {text.create.another}
        </Button>
      </div>
      <div className="halves">
        {(["inputColumn", "outputColumn"] as const).map((column) => (
          <label className="field" key={column}>
            {text.create[column]}
            <select
              className="select"
              value={chosen[column]}
              onChange={(event) => again({ ...chosen, [column]: event.target.value })}
            >
              {columns.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        ))}
      </div>
      {mapping && mapping.ignoredColumns.length > 0 && (
        <p className="small soft">
          {text.create.ignored}: {mapping.ignoredColumns.join(", ")}
        </p>
      )}
      {examples[0] && (
        <div>
          <h3>{text.create.oneExample}</h3>
          <pre>
            {examples[0].textInput}
            {"\n→ "}
            {examples[0].output}
          </pre>
        </div>
      )}
      <ProblemList problems={problems} />
      <div className="row">
        <Button
          className="button primary"
          isDisabled={errors.length > 0 || examples.length === 0}
          onPress={() => use(examples)}
        >
          {text.create.useFile} ({count(examples.length)})
        </Button>
        {skip && <Button onPress={() => again({ ...chosen, skipRows: skip })}>Skip these rows</Button>}
      </div>
    </>
  );
}
