import { useState } from "react";
import { Button } from "react-aria-components";
import { DEFAULTS } from "../../api/answers";
import { useAnswer } from "../../hooks/useAnswer";
import { useModelNames } from "../../hooks/useModelNames";
import type { PromptParts } from "../../hooks/usePromptEdit";
import { inputText } from "../../promptText";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";
import { ModelChoice } from "../playground/ModelChoice";
import { CellsRow } from "./CellsRow";

type Props = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

/** Rows without an answer, and what a model makes of them. */
export function TestRows({ parts, change }: Props) {
  const { testRows, columns } = parts;
  const names = useModelNames();
  const [chosen, setChosen] = useState<string>();
  const model = chosen ?? names.ready[0]?.name ?? "";
  return (
    <section className="card stack" aria-labelledby="tests">
      <div>
        <h2 id="tests">{text.prompts.testRows}</h2>
        <p className="help">{text.prompts.testHelp}</p>
      </div>
      {testRows.length > 0 && (
        <ModelChoice label={text.prompts.model} names={names} value={model} choose={setChosen} />
      )}
      {testRows.map((cells, place) => (
        <TestRow
          key={place}
          parts={parts}
          cells={cells}
          number={place + 1}
          model={model}
          change={(next) =>
            change({ testRows: testRows.map((row, other) => (other === place ? next : row)) })
          }
          remove={() => change({ testRows: testRows.filter((_, other) => other !== place) })}
        />
      ))}
      <div>
        <Button onPress={() => change({ testRows: [...testRows, columns.map(() => "")] })}>
          {text.prompts.addTest}
        </Button>
      </div>
    </section>
  );
}

type RowProps = {
  parts: PromptParts;
  cells: string[];
  number: number;
  model: string;
  change: (cells: string[]) => void;
  remove: () => void;
};

function TestRow({ parts, cells, number, model, change, remove }: RowProps) {
  const answer = useAnswer();
  const prompt = inputText(parts, cells);
  return (
    <div className="stack tight test-row">
      <CellsRow {...{ cells, number, change, remove }} columns={parts.columns} onlyInputs />
      <div className="row">
        {answer.isRunning ? (
          <Button onPress={answer.stop}>{text.playground.stop}</Button>
        ) : (
          <Button
            aria-label={text.prompts.runRow(number)}
            isDisabled={!model || cells.every((cell) => !cell.trim())}
            onPress={() => void answer.run(model, prompt, DEFAULTS)}
          >
            {text.prompts.run}
          </Button>
        )}
        <output aria-busy={answer.isRunning}>{answer.answer}</output>
      </div>
      {answer.error !== undefined && <ErrorNote error={answer.error} />}
    </div>
  );
}
