import { useState } from "react";
import { Button } from "react-aria-components";
import type { Example } from "../../draft";
import type { ReadRow } from "../../reading";
import { TextInput } from "../controls";
import { text } from "./text";

type ProblemRowProps = {
  row: ReadRow;
  other?: ReadRow; // that it repeats or contradicts
  canEdit: boolean;
  skip: () => void;
  fix: (example: Example) => void;
};

/** A row that has a problem, as it stands in the file, beside the row it repeats; it can be skipped or fixed here. */
export function ProblemRow({ row, other, canEdit, skip, fix }: ProblemRowProps) {
  const [isFixing, setFixing] = useState(false);
  return (
    <div className="stack tight problem-row">
      <div className="row-pair">
        {other && <RowCells row={other} />}
        <RowCells row={row} />
      </div>
      {isFixing ? (
        <RowEditor row={row} save={fix} cancel={() => setFixing(false)} />
      ) : (
        canEdit && (
          <div className="row">
            <Button className="button small-button" onPress={() => setFixing(true)}>
              {text.problems.fixRow(row.number)}
            </Button>
            <Button className="button small-button" onPress={skip}>
              {text.problems.skipRow(row.number)}
            </Button>
          </div>
        )
      )}
    </div>
  );
}

/** The cells of a row under the names of their columns, or a line that could not be read. */
function RowCells({ row: { number, cells, line } }: { row: ReadRow }) {
  return (
    <section aria-label={text.problems.rowNumber(number)}>
      <strong className="small">{text.problems.rowNumber(number)}</strong>
      {line !== undefined ? (
        <pre className="small">{line}</pre>
      ) : (
        <dl className="example">
          {cells.map(({ column, cell }, place) => (
            <div key={place}>
              <dt>{column}</dt>
              <dd>{cell || <span className="soft">{text.common.empty}</span>}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

type RowEditorProps = { row: ReadRow; save: (example: Example) => void; cancel: () => void };

/** Input and output of a row as the user wants them; the file stays as it is. */
function RowEditor({ row, save, cancel }: RowEditorProps) {
  const [value, setValue] = useState(row.example);
  const isWhole = value.textInput.trim() !== "" && value.output.trim() !== "";
  return (
    <div className="stack tight">
      <div className="row-pair">
        <TextInput
          label={text.problems.inputOf(row.number)}
          value={value.textInput}
          change={(textInput) => setValue({ ...value, textInput })}
          area={{ rows: 3 }}
        />
        <TextInput
          label={text.problems.outputOf(row.number)}
          value={value.output}
          change={(output) => setValue({ ...value, output })}
          area={{ rows: 3 }}
        />
      </div>
      <div className="row">
        <Button className="button primary small-button" isDisabled={!isWhole} onPress={() => save(value)}>
          {text.problems.saveFix}
        </Button>
        <Button className="button quiet small-button" onPress={cancel}>
          {text.common.cancel}
        </Button>
      </div>
    </div>
  );
}
