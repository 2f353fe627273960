import { useEffect, useRef, useState, type CSSProperties, type KeyboardEvent } from "react";
import { Button } from "react-aria-components";
import type { Example } from "../../draft";
import { text } from "../../text/en";

type Props = {
  row: number;
  place: number;
  style: CSSProperties;
  example: Example;
  column: 0 | 1;
  save: (value: Example, goesDown: boolean) => void;
  leave: () => void;
};

/** The row under edit: two text areas. Ctrl+Enter saves and goes down, Esc leaves it as it was. */
export function GridEditor({ row, place, style, example, column, save, leave }: Props) {
  const [value, setValue] = useState(example);
  const [input, output] = [useRef<HTMLTextAreaElement>(null), useRef<HTMLTextAreaElement>(null)];
  const first = useRef(column === 0 ? input : output);
  useEffect(() => first.current.current?.focus(), []);
  function onKeyDown(event: KeyboardEvent) {
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save(value, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  return (
    // the text areas inside take the keys; this only listens for what they pass on
    // eslint-disable-next-line jsx-a11y/interactive-supports-focus
    <div role="row" aria-rowindex={place + 2} className="grid-row edited" style={style} onKeyDown={onKeyDown}>
      <div role="rowheader" className="grid-number">
        {row + 1}
      </div>
      <div role="gridcell">
        <textarea
          ref={input}
          aria-label={text.grid.inputOf(row + 1)}
          value={value.textInput}
          onChange={(event) => setValue({ ...value, textInput: event.target.value })}
        />
      </div>
      <div role="gridcell">
        <textarea
          ref={output}
          aria-label={text.grid.outputOf(row + 1)}
          value={value.output}
          onChange={(event) => setValue({ ...value, output: event.target.value })}
        />
      </div>
      <div role="gridcell" className="grid-actions">
        <Button className="button primary" onPress={() => save(value, false)}>
          {text.grid.save}
        </Button>
        <Button className="button quiet" onPress={leave}>
          {text.grid.cancel}
        </Button>
      </div>
    </div>
  );
}
