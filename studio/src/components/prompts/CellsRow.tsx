import { Button } from "react-aria-components";
import type { PromptParts } from "../../hooks/usePromptEdit";
import { text } from "../../text/en";
import { Icon } from "../Icon";

type Props = {
  columns: PromptParts["columns"];
  cells: string[];
  number: number;
  change: (cells: string[]) => void;
  remove: () => void;
  onlyInputs?: boolean;
};

/** One row of a prompt: a text for each column. */
export function CellsRow({ columns, cells, number, change, remove, onlyInputs }: Props) {
  return (
    <div className="cells">
      <span className="soft small cells-number">{number}</span>
      {columns.map(
        ({ prefix, isInput }, place) =>
          (isInput || !onlyInputs) && (
            <label key={place} className="cell">
              <span className="small soft">
                {prefix || (isInput ? text.prompts.input : text.prompts.output)}
              </span>
              <textarea
                rows={2}
                aria-label={text.prompts.cell(prefix, number)}
                value={cells[place] ?? ""}
                onChange={(event) =>
                  change(
                    columns.map((_, other) => (other === place ? event.target.value : (cells[other] ?? ""))),
                  )
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
