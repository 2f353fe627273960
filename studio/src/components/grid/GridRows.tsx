import { useEffect, type RefObject } from "react";
import type { Example } from "../../draft";
import type { RowProblem } from "../../rows";
import { text } from "../../text/en";
import { GridEditor } from "./GridEditor";
import { GridRow } from "./GridRow";
import type { Grid } from "./useGrid";
import { EDIT_PX, useVisible } from "./useVisible";

type Props = {
  id: string;
  frame: RefObject<HTMLDivElement | null>;
  rows: Example[];
  places: number[];
  problems: (RowProblem | undefined)[];
  tokens: number[];
  rowPx: number;
  beginning: string; // what all inputs begin with; it is not shown in each of them
  grid: Grid;
};

const HEADS = [text.grid.number, text.grid.input, text.grid.output, text.grid.tokens, text.grid.problem];

const HEAD_PX = 40;

/** Head and rows; only those in sight are drawn. */
export function GridRows({ id, frame, rows, places, problems, tokens, rowPx, beginning, grid }: Props) {
  const editedPlace = grid.editing === undefined ? undefined : places.indexOf(grid.editing);
  const { first, last, topOf, height } = useVisible(frame, places.length, editedPlace, rowPx);
  const isEditing = grid.editing !== undefined;
  const cursorPlace = places.indexOf(grid.cursor.row);
  useEffect(() => {
    const element = frame.current;
    if (!element || cursorPlace < 0) return;
    const top = cursorPlace * rowPx;
    const bottom = top + (isEditing ? EDIT_PX : rowPx);
    const seen = element.clientHeight - HEAD_PX; // the head covers a part
    if (top < element.scrollTop) element.scrollTo({ top });
    else if (bottom > element.scrollTop + seen) element.scrollTo({ top: bottom - seen });
  }, [frame, cursorPlace, rowPx, isEditing]);
  return (
    <>
      <div role="rowgroup" className="grid-head">
        <div role="row" aria-rowindex={1} className="grid-row">
          {HEADS.map((head) => (
            <div role="columnheader" key={head}>
              {head}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="grid-body" style={{ height }}>
        {places.slice(first, last + 1).map((row, offset) => {
          const place = first + offset;
          const example = rows[row];
          if (!example) return null;
          const isEdited = row === grid.editing;
          const style = { top: topOf(place), height: isEdited ? EDIT_PX : rowPx };
          return isEdited ? (
            <GridEditor
              key={row}
              row={row}
              place={place}
              style={style}
              example={example}
              column={grid.cursor.column}
              save={(value, goesDown) => {
                grid.save(row, value);
                if (goesDown) grid.move(places[place + 1] ?? row);
                frame.current?.focus();
              }}
              leave={() => {
                grid.leave();
                frame.current?.focus();
              }}
            />
          ) : (
            <GridRow
              key={row}
              id={id}
              row={row}
              place={place}
              style={style}
              example={example}
              problem={problems[row]}
              tokens={tokens[row]}
              beginning={beginning}
              grid={grid}
            />
          );
        })}
      </div>
    </>
  );
}
