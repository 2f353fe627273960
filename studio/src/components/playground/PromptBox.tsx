import { useState } from "react";
import { Button } from "react-aria-components";
import { usePromptTokens } from "../../api/answers";
import { useHeldOut } from "../../api/examples";
import { useTunedModel } from "../../api/models";
import { idOf, maySeeExamples } from "../../api/client";
import { TextInput } from "../controls";
import { text } from "./text";

type PromptBoxProps = { model: string; prompt: string; change: (prompt: string) => void; run: () => void };

const SHOWN = 80;

/** The prompt, with a hint if it lacks the text that all examples of the model start with. */
export function PromptBox({ model, prompt, change, run }: PromptBoxProps) {
  const isTuned = model.startsWith("tunedModels/");
  const beginning = useTunedModel(isTuned ? idOf(model) : "").data?.inputPrefix ?? "";
  const tokens = usePromptTokens(model, prompt);
  const isMissing = beginning !== "" && prompt.trim() !== "" && !prompt.startsWith(beginning.trimEnd());
  return (
    <div className="stack tight">
      <TextInput
        label={text.playground.prompt}
        value={prompt}
        change={change}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
        }}
        area={{ rows: 6, placeholder: text.playground.placeholder }}
        help={tokens === undefined ? "\u00a0" : text.playground.promptTokens(tokens)}
      />
      {isMissing && (
        <div className="note small row spread" role="status">
          <span>{text.playground.shape(shortened(beginning))}</span>
          <Button onPress={() => change(beginning + prompt)}>{text.playground.addIt}</Button>
        </div>
      )}
    </div>
  );
}

function shortened(beginning: string) {
  const line = beginning.trim().replaceAll("\n", " ");
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
}

type HeldOutPickerProps = { models: readonly string[]; pick: (prompt: string, expected: string) => void };

/** Fills in a held-out row of the tuned model, then the next one, with the expected output. */
export function HeldOutPicker({ models, pick }: HeldOutPickerProps) {
  const tuned = models.find((name) => name.startsWith("tunedModels/")) ?? "";
  const shown = useTunedModel(idOf(tuned)).data;
  const rows = useHeldOut(idOf(tuned), shown !== undefined && maySeeExamples(shown)).data ?? [];
  const [place, setPlace] = useState(-1);
  if (rows.length === 0) return null;
  return (
    <Button
      onPress={() => {
        const next = (place + 1) % rows.length;
        const row = rows[next];
        setPlace(next);
        if (row) pick(row.textInput, row.output);
      }}
    >
      {place < 0 ? text.playground.heldOut : text.playground.next}
    </Button>
  );
}
