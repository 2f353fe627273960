import { useState } from "react";
import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import { idOf } from "../../api/client";
import { useTunedModel } from "../../api/models";
import { addToDraft, setAside } from "../../useDraft";
import { TextInput } from "../controls";
import { Window } from "../dialogs";
import { toast } from "../toasts";
import { text } from "./text";

type Props = { model: string; prompt: string; answer: string; onClose: () => void };

/** Adds a prompt and its right answer, which the user can edit first, to the data of the model or to the draft. */
export function AddExample({ model, prompt, answer, onClose }: Props) {
  const [, go] = useLocation();
  const [textInput, setInput] = useState(prompt);
  const [output, setOutput] = useState(answer);
  const id = model.startsWith("tunedModels/") ? idOf(model) : "";
  const name = useTunedModel(id).data?.displayName ?? id;
  const example = { textInput, output: output.trim() };
  const isComplete = textInput.trim() !== "" && example.output !== "";
  function addToModel() {
    const number = setAside(id, example);
    toast(text.playground.setAside(name, number), {
      action: { label: text.common.again, act: () => go(`/new?from=${id}`) },
    });
    onClose();
  }
  function addToNew() {
    addToDraft(example);
    toast(text.playground.added, { action: { label: text.playground.openDraft, act: () => go("/new") } });
    onClose();
  }
  return (
    <Window title={text.playground.asExample} isOpen onClose={onClose}>
      <p className="soft">{text.playground.asExampleHelp}</p>
      <TextInput label={text.playground.exampleInput} value={textInput} change={setInput} area={{ rows: 4 }} />
      <TextInput label={text.playground.exampleOutput} value={output} change={setOutput} area={{ rows: 3 }} />
      <div className="row end">
        <Button isDisabled={!isComplete} onPress={addToNew} className={`button${id ? "" : " primary"}`}>
          {text.playground.addToDraft}
        </Button>
        {id && (
          <Button className="button primary" isDisabled={!isComplete} onPress={addToModel}>
            {text.playground.addToModel}
          </Button>
        )}
      </div>
    </Window>
  );
}
