import { Button, Input, Label, TextField } from "react-aria-components";
import type { PromptParts } from "../../hooks/usePromptEdit";
import { text } from "../../text/en";
import { RowMenu, type Action } from "../RowMenu";
import { SelectField } from "../SelectField";

type Props = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

/** The columns of a prompt: their prefixes, whether they are inputs, and their order. */
export function ColumnsEditor({ parts, change }: Props) {
  const { columns } = parts;
  const order = (places: number[]) =>
    change({
      columns: places.flatMap((place) => columns[place] ?? []),
      rows: parts.rows.map((cells) => places.map((place) => cells[place] ?? "")),
      testRows: parts.testRows.map((cells) => places.map((place) => cells[place] ?? "")),
    });
  const set = (place: number, part: Partial<PromptParts["columns"][number]>) =>
    change({ columns: columns.map((column, other) => (other === place ? { ...column, ...part } : column)) });
  const all = [...columns.keys()];
  const swapped = (place: number, other: number) =>
    all.map((known) => (known === place ? other : known === other ? place : known));
  function actionsOf(place: number): Action[] {
    return [
      ...(place > 0
        ? [{ id: "left", label: text.prompts.left, act: () => order(swapped(place, place - 1)) }]
        : []),
      ...(place < columns.length - 1
        ? [{ id: "right", label: text.prompts.right, act: () => order(swapped(place, place + 1)) }]
        : []),
      {
        id: "remove",
        label: text.prompts.removeColumn,
        act: () => order(all.filter((known) => known !== place)),
        isDanger: true,
      },
    ];
  }
  return (
    <fieldset className="plain stack tight">
      <legend>{text.prompts.columns}</legend>
      {columns.map((column, place) => (
        <div className="row bottom" key={place}>
          <TextField
            className="react-aria-TextField grow"
            value={column.prefix}
            onChange={(prefix) => set(place, { prefix })}
          >
            <Label className="visually-hidden">{text.prompts.column(place + 1)}</Label>
            <Input />
          </TextField>
          <SelectField
            label={text.prompts.kind(place + 1)}
            isLabelHidden
            value={column.isInput ? "input" : "output"}
            change={(kind) => set(place, { isInput: kind === "input" })}
          >
            <option value="input">{text.prompts.input}</option>
            <option value="output">{text.prompts.output}</option>
          </SelectField>
          <RowMenu name={column.prefix || text.prompts.column(place + 1)} actions={actionsOf(place)} />
        </div>
      ))}
      <div>
        <Button onPress={() => change({ columns: [...columns, { prefix: "", isInput: true }] })}>
          {text.prompts.addColumn}
        </Button>
      </div>
    </fieldset>
  );
}
