import { Button, Label, TextArea, TextField } from "react-aria-components";
import { useFirstExamples } from "../../api/examples";
import { idOf } from "../../api/models";
import { useOffers } from "../../api/server";
import { commonBeginning } from "../../shape";
import { text } from "../../text/en";

type Props = { model: string; prompt: string; change: (prompt: string) => void; run: () => void };

const SHOWN = 80;

/** What is asked; a hint says when it lacks what all examples of the model began with. */
export function PromptBox({ model, prompt, change, run }: Props) {
  const hasExamples = useOffers("tunedModels.examples");
  const isTuned = model.startsWith("tunedModels/");
  const examples = useFirstExamples(idOf(model), isTuned && hasExamples).data?.examples ?? [];
  const beginning = isTuned ? commonBeginning(examples.map(({ textInput }) => textInput)) : "";
  const isMissing = beginning !== "" && prompt.trim() !== "" && !prompt.startsWith(beginning.trimEnd());
  return (
    <div className="stack tight">
      <TextField
        value={prompt}
        onChange={change}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
        }}
      >
        <Label>{text.playground.prompt}</Label>
        <TextArea rows={6} placeholder={text.playground.placeholder} />
      </TextField>
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
