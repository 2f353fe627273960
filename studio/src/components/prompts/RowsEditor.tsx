import { useState } from "react";
import { Button } from "react-aria-components";
import type { PromptParts } from "../../hooks/usePromptEdit";
import { text } from "../../text/en";
import { CellsRow } from "./CellsRow";

const PAGE = 25;
type Props = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

/** The rows of a prompt, a page at a time. */
export function RowsEditor({ parts, change }: Props) {
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
