import { Button, MenuTrigger } from "react-aria-components";
import { text } from "../../text/en";
import { ActionPopover } from "../RowMenu";

const FORMATS = {
  adapter: "Adapter (PEFT)",
  merged: "Merged weights (safetensors)",
  gguf: "GGUF (llama.cpp)",
};

/** Open a path of the API in a tab of its own: the browser saves or shows what comes, also what is wrong. */
export const openPath = (path: string) => void window.open(`/v1beta/${path}`, "_blank", "noopener");

/** The forms in which a tuned model can be taken along; the browser saves what the server sends. */
export function ExportMenu({ id }: { id: string }) {
  const actions = Object.entries(FORMATS).map(([format, label]) => ({
    id: format,
    label,
    act: () => openPath(`tunedModels/${id}:export?format=${format}`),
  }));
  return (
    <MenuTrigger>
      <Button>{text.model.export}</Button>
      <ActionPopover name={text.model.export} actions={actions} />
    </MenuTrigger>
  );
}
