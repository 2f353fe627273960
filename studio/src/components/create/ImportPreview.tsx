import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import type { Parsed, ReadOptions } from "../../api/examples";
import type { Example } from "../../draft";
import { type Asked, askedOf, controlsOf, withOptions } from "../../reading";
import { ScrollRegion, Table } from "../Facts";
import { ProblemTable } from "./ProblemTable";
import { Questions } from "./Questions";
import { focusOption, Mapping, ReadControls } from "./ReadControls";
import { text } from "./text";

type ImportPreviewProps = {
  parsed: Parsed;
  isReading: boolean;
  again: (options: ReadOptions) => void;
  leave: () => void;
  use: (examples: Example[]) => void;
};

/** How a file was read: questions, format, columns, one example, problems. Nothing is imported before the button is pressed. */
export function ImportPreview({ parsed, isReading, again, leave, use }: ImportPreviewProps) {
  const { examples = [], problems, sample = [], columns = [] } = parsed;
  const [options, setOptions] = useState<ReadOptions>({});
  const [shownRow, setShownRow] = useState<number>();
  const asked = useAsked(parsed, options);
  const listed = problems.filter((problem) => asked.every((question) => question.problem !== problem));
  const controls = controlsOf(parsed, options);
  const isAsked = asked.some(({ option }) => option === "hiddenRows");
  const shown = new Set([...controls].filter((option) => option !== "hiddenRows" || !isAsked));
  const hasErrors = problems.some(({ level }) => level === "error");
  function change(part: ReadOptions) {
    const next = withOptions(options, part);
    setOptions(next);
    again(next);
  }
  function skip(rows: number[]) {
    const before = options.skipRows ? options.skipRows.split(",").map(Number) : [];
    change({ skipRows: [...new Set([...before, ...rows])].sort((a, b) => a - b).join(",") });
  }
  return (
    <div className="stack" aria-busy={isReading}>
      <FileLine parsed={parsed} leave={leave} />
      <Questions asked={asked} options={options} change={change} />
      {shown.size > 0 && <ReadControls parsed={parsed} options={options} shown={shown} change={change} />}
      {columns.length > 0 && <Mapping key={mappingKey(parsed, options)} parsed={parsed} change={change} />}
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
      {listed.length > 0 && (
        <ProblemTable
          problems={listed}
          name={parsed.file.name}
          canShow={(row) => sample.some(({ number }) => number === row)}
          show={setShownRow}
          skip={skip}
          controls={controls}
          focusControl={focusOption}
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
        {hasErrors && <span className="small soft">{whatFirst(parsed, asked)}</span>}
      </div>
    </div>
  );
}

/** The questions of the file as it is read now, and the answered ones. */
function useAsked(parsed: Parsed, options: ReadOptions): Asked[] {
  const [known, setKnown] = useState<{ parsed: Parsed; asked: Asked[] }>({ parsed, asked: askedOf(parsed, [], {}) });
  if (known.parsed === parsed) return known.asked;
  const asked = askedOf(parsed, known.asked, options);
  setKnown({ parsed, asked });
  return asked;
}

const mappingKey = ({ columns = [] }: Parsed, { encoding, delimiter, sheet, headerRow }: ReadOptions) =>
  JSON.stringify([encoding, delimiter, sheet, headerRow, columns]);

function whatFirst({ problems }: Parsed, asked: Asked[]) {
  if (asked.some(({ problem }) => problem?.level === "error")) return text.import.answerFirst;
  const errors = problems.filter(({ level }) => level === "error");
  if (errors.some(({ isSkippable }) => isSkippable)) return text.import.errorsFirst;
  return errors.some(({ option }) => option) ? text.import.readFirst : text.import.fixFirst;
}

/** The file, its format, and how many of its rows can be used. */
function FileLine({ parsed, leave }: { parsed: Parsed; leave: () => void }) {
  const { file, format, rowCount, exampleCount = rowCount } = parsed;
  return (
    <div className="row spread">
      <div>
        <strong>{file.name}</strong>{" "}
        <span className="soft">
          {format && `· ${format} `}
          {rowCount !== undefined && `· ${text.import.usable(exampleCount ?? rowCount, rowCount)}`}
        </span>
      </div>
      <Button className="button quiet" onPress={leave}>
        {text.import.another}
      </Button>
    </div>
  );
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
