import { useState } from "react";
import { Button, Input, Label, Text, TextArea, TextField } from "react-aria-components";
import { useLocation } from "wouter";
import type { Prompt } from "../../api/prompts";
import { NAME_CHARACTERS } from "../../draft";
import { usePromptEdit } from "../../hooks/usePromptEdit";
import { inputText, outputText } from "../../promptText";
import { text } from "../../text/en";
import { toast } from "../../toasts";
import { ColumnsEditor } from "./ColumnsEditor";
import { RowsEditor } from "./RowsEditor";
import { TestRows } from "./TestRows";

const SAVING = { saved: text.prompts.saved, saving: text.prompts.saving, unsaved: text.prompts.unsaved };

/** Name, preamble, columns and rows of a prompt; saved as one types. */
export function PromptEditor({
  id,
  prompt,
  rename,
}: {
  id: string;
  prompt: Prompt;
  rename: (name: string) => void;
}) {
  const [, go] = useLocation();
  const { parts, saving, change } = usePromptEdit(id, prompt);
  const [isLabelled, setLabelled] = useState(true);
  const row = parts.rows.find((cells) => cells.some((cell) => cell.trim())) ?? [];
  const canTune =
    parts.columns.some(({ isInput }) => isInput) && parts.columns.some(({ isInput }) => !isInput);
  function tune() {
    if (!canTune) return toast(text.prompts.noOutput, { kind: "bad" });
    go(`/new?prompt=${id}${isLabelled ? "" : "&plain=1"}`);
  }
  return (
    <div className="columns">
      <div className="stack">
        <section className="card stack">
          <TextField
            value={parts.displayName}
            maxLength={NAME_CHARACTERS}
            onChange={(displayName) => {
              change({ displayName });
              rename(displayName);
            }}
          >
            <Label>{text.prompts.name}</Label>
            <Input />
          </TextField>
          <TextField value={parts.preamble} onChange={(preamble) => change({ preamble })}>
            <Label>{text.prompts.preamble}</Label>
            <TextArea rows={3} />
            <Text slot="description" className="help">
              {text.prompts.preambleHelp}
            </Text>
          </TextField>
          <ColumnsEditor parts={parts} change={change} />
        </section>
        <RowsEditor parts={parts} change={change} />
        <TestRows parts={parts} change={change} />
      </div>
      <aside className="card stack sticky" aria-label={text.prompts.live}>
        <span className="small soft" role="status">
          {SAVING[saving]}
        </span>
        <label className="row plain">
          <input type="checkbox" checked={isLabelled} onChange={() => setLabelled(!isLabelled)} />
          {text.prompts.include}
        </label>
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
