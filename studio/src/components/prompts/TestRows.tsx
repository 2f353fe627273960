import { useState } from "react";
import { Button } from "react-aria-components";
import { useAnswer } from "../../api/answers";
import { type Run, runOf } from "../../fewShot";
import { count } from "../../format";
import type { PromptParts } from "../../prompt";
import { answerSnippets } from "../../snippets";
import { CodeTabs } from "../Code";
import { Checkbox, Icon } from "../controls";
import { Window } from "../dialogs";
import { ErrorNote } from "../Page";
import { ModelChoice, useModelNames } from "../playground/ModelChoice";
import { toastError } from "../toasts";
import { text } from "./text";

type TestRowsProps = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

/** Rows without an output, and a model's answers to them after it has seen the rows above. */
export function TestRows({ parts, change }: TestRowsProps) {
  const { testRows, columns } = parts;
  const names = useModelNames();
  const [chosen, setChosen] = useState<string>();
  const [chosenShows, setShows] = useState<boolean>();
  const model = chosen ?? names.bases[0]?.name ?? names.ready[0]?.name ?? "";
  const showsRows = chosenShows ?? !model.startsWith("tunedModels/"); // tuned models have already learned their rows
  return (
    <section className="card stack" aria-labelledby="tests">
      <div>
        <h2 id="tests">{text.prompts.testRows}</h2>
        <p className="help">{text.prompts.testHelp}</p>
      </div>
      {testRows.length > 0 && (
        <>
          <ModelChoice label={text.prompts.model} names={names} value={model} choose={setChosen} />
          <div>
            <Checkbox label={text.prompts.showRows} isChecked={showsRows} change={setShows} />
            <p className="help">{text.prompts.showRowsHelp}</p>
          </div>
        </>
      )}
      {testRows.map((cells, place) => (
        <TestRow
          key={place}
          parts={parts}
          cells={cells}
          number={place + 1}
          model={model}
          showsRows={showsRows}
          change={(next) => change({ testRows: testRows.map((row, other) => (other === place ? next : row)) })}
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

type TestRowProps = {
  parts: PromptParts;
  cells: string[];
  number: number;
  model: string;
  showsRows: boolean;
  change: (cells: string[]) => void;
  remove: () => void;
};

function TestRow({ parts, cells, number, model, showsRows, change, remove }: TestRowProps) {
  const answer = useAnswer();
  const [left, setLeft] = useState<number[]>([]);
  const [code, setCode] = useState<Run>();
  const [isPreparing, setPreparing] = useState(false);
  const isEmpty = !model || cells.every((cell) => !cell.trim());
  /** Find the rows that fit into the window; both the run and the code use exactly these. */
  async function prepared(act: (run: Run) => void) {
    setPreparing(true);
    try {
      const run = await runOf(model, parts, cells, showsRows);
      setLeft(run.left);
      act(run);
    } catch (error) {
      toastError(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setPreparing(false);
    }
  }
  return (
    <div className="stack tight test-row">
      <CellsRow {...{ cells, number, change, remove }} columns={parts.columns} />
      <div className="row">
        {answer.isRunning ? (
          <Button onPress={answer.stop}>{text.prompts.stop}</Button>
        ) : (
          <Button
            aria-label={text.prompts.runRow(number)}
            isDisabled={isEmpty || isPreparing}
            onPress={() => void prepared(({ prompt, settings }) => void answer.run(model, prompt, settings))}
          >
            {text.prompts.run}
          </Button>
        )}
        <Button
          className="button quiet"
          aria-label={text.prompts.codeOfRow(number)}
          isDisabled={isEmpty || isPreparing}
          onPress={() => void prepared(setCode)}
        >
          {text.common.code}
        </Button>
        <output dir="auto" aria-busy={answer.isRunning}>
          {answer.answer}
        </output>
      </div>
      {left.length > 0 && (
        <p className="note warn small" role="status">
          {text.prompts.rowsLeft(left.length, rangesOf(left))}
        </p>
      )}
      {answer.error !== undefined && <ErrorNote error={answer.error} />}
      {code && (
        <Window title={text.common.code} isOpen isWide onClose={() => setCode(undefined)}>
          <CodeTabs snippets={answerSnippets(location.origin, model, code.prompt, code.settings)} />
        </Window>
      )}
    </div>
  );
}

/** Row numbers in order as ranges: "3–9, 12". */
function rangesOf(numbers: number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? count(first) : `${count(first)}–${count(last)}`)).join(", ");
}

type CellsRowProps = {
  columns: PromptParts["columns"];
  cells: string[];
  number: number;
  change: (cells: string[]) => void;
  remove: () => void;
};

/** A test row: a text for each input column. */
function CellsRow({ columns, cells, number, change, remove }: CellsRowProps) {
  return (
    <div className="cells">
      <span className="soft small cells-number">{number}</span>
      {columns.map(
        ({ prefix, isInput }, place) =>
          isInput && (
            <label key={place} className="cell">
              <span className="small soft">{prefix || text.prompts.input}</span>
              <textarea
                rows={2}
                dir="auto"
                aria-label={text.prompts.testCell(prefix, number)}
                value={cells[place] ?? ""}
                onChange={(event) =>
                  change(columns.map((_, other) => (other === place ? event.target.value : (cells[other] ?? ""))))
                }
              />
            </label>
          ),
      )}
      <Button className="button quiet" aria-label={text.prompts.removeTest(number)} onPress={remove}>
        <Icon name="close" size={16} />
      </Button>
    </div>
  );
}
