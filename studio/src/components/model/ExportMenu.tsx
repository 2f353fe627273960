import { Button, MenuTrigger } from "react-aria-components";
import { text } from "../../text/en";
import { ActionPopover } from "../RowMenu";

const FORMATS = {
  adapter: "Adapter (PEFT)",
  merged: "Merged weights (safetensors)",
  gguf: "GGUF (llama.cpp)",
};

/** The forms in which a tuned model can be taken along; the browser saves what the server sends. */
export function ExportMenu({ id }: { id: string }) {
  const actions = Object.entries(FORMATS).map(([format, label]) => ({
    id: format,
    label,
    // in a tab of its own: the browser saves the file there, or shows what the server says is wrong
    act: () => void window.open(`/v1beta/tunedModels/${id}:export?format=${format}`, "_blank", "noopener"),
  }));
  return (
    <MenuTrigger>
      <Button>{text.model.export}</Button>
      <ActionPopover name={text.model.export} actions={actions} />
    </MenuTrigger>
  );
}
