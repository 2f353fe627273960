import { useState } from "react";
import { Button } from "react-aria-components";
import type { Parsed, ReadOptions } from "../../api/datasets";
import type { Example } from "../../draft";
import { text } from "../../text/en";
import { Mapping } from "./Mapping";
import { ProblemTable } from "./ProblemTable";
import { ReadFacts } from "./ReadFacts";
import { SampleTable } from "./SampleTable";

type Props = {
  parsed: Parsed;
  isReading: boolean;
  again: (options: ReadOptions) => void;
  leave: () => void;
  use: (examples: Example[]) => void;
};

/** How a file was read, which columns it has, what is wrong with it; nothing is imported before the button. */
export function ImportPreview({ parsed, isReading, again, leave, use }: Props) {
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
        <Mapping
          key={`${options.sheet} ${options.header} ${columns.join()}`}
          parsed={parsed}
          change={change}
        />
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
