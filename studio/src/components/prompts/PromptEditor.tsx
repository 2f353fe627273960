import { useState } from "react";
import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import { useLimits } from "../../api/account";
import { idOf } from "../../api/client";
import type { Prompt } from "../../api/examples";
import { inputText, outputText, type PromptParts, usePromptEdit } from "../../prompt";
import { type Action, Checkbox, type Option, RowMenu, SelectField, TextInput } from "../controls";
import { ChangedElsewhere } from "../Page";
import { toast, toastError } from "../toasts";
import { RowsEditor } from "./PromptRows";
import { TestRows } from "./TestRows";
import { text } from "./text";

const { saved, saving: isSaving, unsaved } = text.prompts;
const SAVING = { saved, saving: isSaving, unsaved, changedElsewhere: unsaved };

/** Name, preamble, columns and rows of a prompt; changes are saved automatically. */
export function PromptEditor({ id, prompt, rename }: { id: string; prompt: Prompt; rename: (name: string) => void }) {
  const [, go] = useLocation();
  const { parts, saving, change, keepAsCopy, load } = usePromptEdit(id, prompt);
  const [isLabelled, setLabelled] = useState(true);
  const row = parts.rows.find((cells) => cells.some((cell) => cell.trim())) ?? [];
  const canTune = parts.columns.some(({ isInput }) => isInput) && parts.columns.some(({ isInput }) => !isInput);
  function tune() {
    if (!canTune) return toast(text.prompts.noOutput, { kind: "bad" });
    go(`/new?prompt=${id}${isLabelled ? "" : "&plain=1"}`);
  }
  return (
    <div className="columns">
      <div className="stack">
        {saving === "changedElsewhere" && (
          <ChangedElsewhere
            load={load}
            keepAsCopy={() =>
              void keepAsCopy()
                .then((name) => go(`/prompts/${idOf(name)}`))
                .catch(toastError)
            }
          />
        )}
        <section className="card stack">
          <TextInput
            label={text.prompts.name}
            value={parts.displayName}
            maxLength={useLimits().displayNameCharacters}
            change={(displayName) => {
              change({ displayName });
              rename(displayName);
            }}
          />
          <TextInput
            label={text.prompts.preamble}
            value={parts.preamble}
            change={(preamble) => change({ preamble })}
            area={{ rows: 3 }}
            help={text.prompts.preambleHelp}
          />
          <ColumnsEditor parts={parts} change={change} />
        </section>
        <RowsEditor parts={parts} change={change} />
        <TestRows parts={parts} change={change} />
      </div>
      <aside className="card stack sticky" aria-label={text.prompts.live}>
        <span className="small soft" role="status">
          {SAVING[saving]}
        </span>
        <Checkbox label={text.prompts.include} isChecked={isLabelled} change={setLabelled} />
        <div>
          <h2 className="gap-under">{text.prompts.live}</h2>
          <pre>
            {inputText(parts, row, isLabelled)}
            {"\n"}
            <mark>{outputText(parts, row)}</mark>
          </pre>
          <p className="help gap-top">{text.prompts.reminder}</p>
        </div>
        <Button className="button primary" onPress={tune}>
          {text.prompts.tune}
        </Button>
      </aside>
    </div>
  );
}

type Props = { parts: PromptParts; change: (part: Partial<PromptParts>) => void };

const KINDS: Option[] = [
  ["input", text.prompts.input],
  ["output", text.prompts.output],
];

/** The columns of a prompt: prefix, input or output, order. */
function ColumnsEditor({ parts, change }: Props) {
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
      ...(place > 0 ? [{ id: "left", label: text.prompts.left, act: () => order(swapped(place, place - 1)) }] : []),
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
          <TextInput
            label={text.prompts.column(place + 1)}
            isLabelHidden
            className="react-aria-TextField grow"
            value={column.prefix}
            change={(prefix) => set(place, { prefix })}
          />
          <SelectField
            label={text.prompts.kind(place + 1)}
            isLabelHidden
            value={column.isInput ? "input" : "output"}
            change={(kind) => set(place, { isInput: kind === "input" })}
            options={KINDS}
          />
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
