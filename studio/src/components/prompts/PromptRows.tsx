import { useState } from "react";
import { Button } from "react-aria-components";
import { DEFAULTS, useAnswer } from "../../api/answers";
import { inputText, type PromptParts } from "../../prompt";
import { Icon } from "../controls";
import { ErrorNote } from "../Page";
import { ModelChoice, useModelNames } from "../playground/ModelChoice";
import { text } from "./text";

const PAGE = 25;
type RowsEditorProps = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

/** The rows of a prompt, page by page. */
export function RowsEditor({ parts, change }: RowsEditorProps) {
  const { rows, columns } = parts;
  const [start, setStart] = useState(0);
  const end = Math.min(rows.length, start + PAGE);
  const set = (place: number, cells: string[]) =>
    change({ rows: rows.map((row, other) => (other === place ? cells : row)) });
  function add() {
    change({ rows: [...rows, columns.map(() => "")] });
    setStart(Math.floor(rows.length / PAGE) * PAGE);
  }
  return (
    <section className="card stack" aria-labelledby="rows">
      <div className="row spread">
        <h2 id="rows">
          {text.prompts.examples} <span className="soft small">{text.prompts.rows(rows.length)}</span>
        </h2>
        {rows.length > PAGE && (
          <div className="row small-gap">
            <Button isDisabled={start === 0} onPress={() => setStart(start - PAGE)}>
              {text.prompts.previous}
            </Button>
            <span className="small soft">{text.prompts.page(start + 1, end, rows.length)}</span>
            <Button isDisabled={end >= rows.length} onPress={() => setStart(start + PAGE)}>
              {text.prompts.next}
            </Button>
          </div>
        )}
      </div>
      {rows.slice(start, end).map((cells, offset) => {
        const place = start + offset;
        return (
          <CellsRow
            key={place}
            columns={columns}
            cells={cells}
            number={place + 1}
            change={(next) => set(place, next)}
            remove={() => change({ rows: rows.filter((_, other) => other !== place) })}
          />
        );
      })}
      <div>
        <Button onPress={add}>{text.prompts.addRow}</Button>
      </div>
    </section>
  );
}

type TestRowsProps = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

/** Rows without an output, and how a model answers them. */
export function TestRows({ parts, change }: TestRowsProps) {
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
      {testRows.length > 0 && <ModelChoice label={text.prompts.model} names={names} value={model} choose={setChosen} />}
      {testRows.map((cells, place) => (
        <TestRow
          key={place}
          parts={parts}
          cells={cells}
          number={place + 1}
          model={model}
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
          <Button onPress={answer.stop}>{text.prompts.stop}</Button>
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

type CellsRowProps = {
  columns: PromptParts["columns"];
  cells: string[];
  number: number;
  change: (cells: string[]) => void;
  remove: () => void;
  onlyInputs?: boolean;
};

/** A row of a prompt: a text for each column. */
function CellsRow({ columns, cells, number, change, remove, onlyInputs }: CellsRowProps) {
  return (
    <div className="cells">
      <span className="soft small cells-number">{number}</span>
      {columns.map(
        ({ prefix, isInput }, place) =>
          (isInput || !onlyInputs) && (
            <label key={place} className="cell">
              <span className="small soft">{prefix || (isInput ? text.prompts.input : text.prompts.output)}</span>
              <textarea
                rows={2}
                aria-label={text.prompts.cell(prefix, number)}
                value={cells[place] ?? ""}
                onChange={(event) =>
                  change(columns.map((_, other) => (other === place ? event.target.value : (cells[other] ?? ""))))
                }
              />
            </label>
          ),
      )}
      <Button className="button quiet" aria-label={text.prompts.removeRow(number)} onPress={remove}>
        <Icon name="close" size={16} />
      </Button>
    </div>
  );
}
