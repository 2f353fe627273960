import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import type { Parsed, ReadOptions } from "../../api/examples";
import type { Example } from "../../draft";
import { SelectField } from "../controls";
import { ScrollRegion, Table } from "../Facts";
import { ProblemTable } from "./ProblemTable";
import { text } from "./text";

type ImportPreviewProps = {
  parsed: Parsed;
  isReading: boolean;
  again: (options: ReadOptions) => void;
  leave: () => void;
  use: (examples: Example[]) => void;
};

/** How a file was read: format, columns, one example, problems. Nothing is imported before the button is pressed. */
export function ImportPreview({ parsed, isReading, again, leave, use }: ImportPreviewProps) {
  const { examples = [], problems, sample = [], columns = [] } = parsed;
  const [options, setOptions] = useState<ReadOptions>({});
  const [shownRow, setShownRow] = useState<number>();
  const hasErrors = problems.some(({ level }) => level === "error");
  function change(part: ReadOptions) {
    const next = { ...options, ...part };
    setOptions(next);
    again(next);
  }
  function skip(rows: number[]) {
    const before = options.skipRows ? options.skipRows.split(",").map(Number) : [];
    change({ skipRows: [...new Set([...before, ...rows])].sort((a, b) => a - b).join(",") });
  }
  return (
    <div className="stack" aria-busy={isReading}>
      <ReadFacts parsed={parsed} change={change} leave={leave} />
      {columns.length > 0 && (
        <Mapping key={`${options.sheet} ${options.header} ${columns.join()}`} parsed={parsed} change={change} />
      )}
      {examples[0] && (
        <div>
          <h3>{text.import.oneExample}</h3>
          <dl className="example">
            <dt>{text.import.input}</dt>
            <dd>{examples[0].textInput}</dd>
            <dt>{text.import.output}</dt>
            <dd>{examples[0].output}</dd>
          </dl>
        </div>
      )}
      {sample.length > 0 && <SampleTable parsed={parsed} shownRow={shownRow} />}
      {problems.length > 0 && (
        <ProblemTable
          problems={problems}
          name={parsed.file.name}
          canShow={(row) => sample.some(({ number }) => number === row)}
          show={setShownRow}
          skip={skip}
        />
      )}
      <div className="row">
        <Button
          className="button primary"
          isDisabled={hasErrors || examples.length === 0 || isReading}
          onPress={() => use(examples.map(({ textInput, output }) => ({ textInput, output })))}
        >
          {text.import.rows(examples.length || (parsed.exampleCount ?? 0))}
        </Button>
        {hasErrors && <span className="small soft">{text.import.errorsFirst}</span>}
      </div>
    </div>
  );
}

const ENCODINGS = [
  "utf-8",
  "utf-16",
  "windows-1252",
  "iso-8859-1",
  "iso-8859-15",
  "windows-1251",
  "shift_jis",
  "gb18030",
];

type ReadFactsProps = { parsed: Parsed; change: (part: ReadOptions) => void; leave: () => void };

/** Encoding, delimiter, sheet and header as detected; all can be changed. */
function ReadFacts({ parsed, change, leave }: ReadFactsProps) {
  const { format, encoding, delimiter, sheet, sheets = [], hasHeader, rowCount = 0 } = parsed;
  const encodings = encoding && !ENCODINGS.includes(encoding) ? [encoding, ...ENCODINGS] : ENCODINGS;
  return (
    <>
      <div className="row spread">
        <div>
          <strong>{parsed.file.name}</strong>{" "}
          <span className="soft">
            {format && `· ${format} `}· {text.import.found(rowCount)}
          </span>
        </div>
        <Button className="button quiet" onPress={leave}>
          {text.import.another}
        </Button>
      </div>
      <div className="facts-row">
        {encoding && (
          <SelectField
            label={`${text.import.encoding} ${parsed.encodingIsGuessed ? text.import.guessed : ""}`}
            value={encoding}
            isSmall
            change={(next) => change({ encoding: next })}
            options={encodings.map((name) => [name, name])}
          />
        )}
        {delimiter && (
          <SelectField
            label={text.import.delimiter}
            value={delimiter}
            isSmall
            change={(next) => change({ delimiter: next })}
            options={Object.entries(text.import.delimiters)}
          />
        )}
        {sheets.length > 1 && (
          <SelectField
            label={text.import.sheet}
            value={sheet ?? ""}
            isSmall
            change={(next) => change({ sheet: next, inputColumn: undefined, outputColumn: undefined })}
            options={sheets.map(({ name, isHidden }) => [name, isHidden ? `${name} ${text.import.hidden}` : name])}
          />
        )}
        {hasHeader !== undefined && (
          <SelectField
            label={text.import.header}
            value={String(hasHeader)}
            isSmall
            change={(next) => change({ header: next, inputColumn: undefined, outputColumn: undefined })}
            options={[
              ["true", text.import.headerYes],
              ["false", text.import.headerNo],
            ]}
          />
        )}
      </div>
    </>
  );
}

type Role = "input" | "output" | "ignored";
type Roles = Record<string, Role>;
const ROLES: Role[] = ["input", "output", "ignored"];

/** The role of each column: any number of inputs, one output. */
function Mapping({ parsed, change }: { parsed: Parsed; change: (part: ReadOptions) => void }) {
  const { columns = [], mapping } = parsed;
  const [chosen, setChosen] = useState<Roles>(); // undefined: the server's suggestion
  const roles = chosen ?? suggested(columns, mapping);
  const inputs = columns.filter((name) => roles[name] === "input");
  const output = columns.find((name) => roles[name] === "output");
  function use(column: string, role: Role) {
    const next = { ...roles, [column]: role };
    if (role === "output" && output && output !== column)
      next[output] = inputs.some((name) => name !== column) ? "ignored" : "input"; // only one column can be the output
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
            options={ROLES.map((role) => [role, text.import.roles[role]])}
          />
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

/** The first rows of the file; one of them can be highlighted. */
function SampleTable({ parsed, shownRow }: { parsed: Parsed; shownRow?: number }) {
  const { columns = [], sample = [] } = parsed;
  const marked = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    marked.current?.scrollIntoView({ block: "center" });
    marked.current?.focus();
  }, [shownRow]);
  return (
    <div>
      <h3>{text.import.sample}</h3>
      <ScrollRegion height={260} label={text.import.sample}>
        <Table className="small" heads={[[text.grid.number], ...columns.map((name) => [name] as const)]}>
          <tbody>
            {sample.map(({ number, cells }) => (
              <tr
                key={number}
                ref={number === shownRow ? marked : undefined}
                tabIndex={number === shownRow ? -1 : undefined}
                data-selected={number === shownRow || undefined}
              >
                <td className="soft">{number}</td>
                {cells.map((cell, place) => (
                  <td key={place}>
                    <div className="clamp">{cell}</div>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </Table>
      </ScrollRegion>
    </div>
  );
}
