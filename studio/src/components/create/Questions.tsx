import { useId } from "react";
import type { ReadOptions } from "../../api/examples";
import { type Asked, chosenValue, headsOf } from "../../reading";
import { text } from "./text";

type QuestionsProps = { asked: Asked[]; options: ReadOptions; change: (part: ReadOptions) => void };

/** The questions that the file leaves open, with their readings side by side; the user chooses one of each. */
export function Questions({ asked, options, change }: QuestionsProps) {
  return asked.map((question) => (
    <fieldset key={question.option} className="question" id={`question-${question.option}`}>
      <legend>{text.questions.titles[question.option] ?? question.option}</legend>
      {question.problem && <p className="small sentence">{sentenceOf(question.problem)}</p>}
      <div className="readings">
        {question.readings.map(({ value, rows }) => (
          <ReadingChoice
            key={value}
            name={question.option}
            label={text.questions.reading(question.option, value)}
            heads={headsOf(question, value)}
            rows={rows}
            isChosen={value === chosenValue(question, options)}
            choose={() => change({ [question.option]: value })}
          />
        ))}
      </div>
    </fieldset>
  ));
}

const sentenceOf = ({ row, message }: NonNullable<Asked["problem"]>) =>
  row === undefined ? message : text.questions.inRow(row, message);

type ReadingChoiceProps = {
  name: string;
  label: string;
  heads?: string[];
  rows: string[][];
  isChosen: boolean;
  choose: () => void;
};

const SHOWN_COLUMNS = 4;

/** One reading with its first rows; the whole area can be pressed. */
function ReadingChoice({ name, label, heads, rows, isChosen, choose }: ReadingChoiceProps) {
  const id = useId();
  const hidden = Math.max(...rows.map((row) => row.length), 0) - SHOWN_COLUMNS;
  return (
    <div className="reading">
      <label>
        <input type="radio" name={name} checked={isChosen} aria-describedby={id} onChange={choose} />
        {label}
      </label>
      <table id={id} aria-label={text.questions.rowsOf(label)}>
        {heads && (
          <thead>
            <tr>
              {heads.slice(0, SHOWN_COLUMNS).map((head, place) => (
                <th key={place} scope="col">
                  <div className="clamp one">{head}</div>
                </th>
              ))}
            </tr>
          </thead>
        )}
        <tbody>
          {rows.map((cells, place) => (
            <tr key={place}>
              {cells.slice(0, SHOWN_COLUMNS).map((cell, column) => (
                <td key={column}>
                  <div className="clamp two">{cell}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p className="help">{text.questions.noRows}</p>}
      {hidden > 0 && <p className="help">{text.questions.moreColumns(hidden)}</p>}
    </div>
  );
}
