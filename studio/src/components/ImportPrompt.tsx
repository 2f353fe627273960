import { Button, FileTrigger } from "react-aria-components";
import { useLocation } from "wouter";
import { idOf } from "../api/client";
import { useImportPrompt } from "../api/examples";
import { text } from "./prompts/text";
import { toast, toastError } from "./toasts";

/** Chooses a prompt file of Google AI Studio, imports it and opens it. */
export function ImportPrompt({ label }: { label: string }) {
  const [, go] = useLocation();
  const importing = useImportPrompt();
  return (
    <FileTrigger
      onSelect={(files) => {
        const file = files?.[0];
        if (file)
          importing.mutate(file, {
            onSuccess: (prompt) => {
              toast(text.prompts.imported(prompt.displayName), { kind: "good" });
              go(`/prompts/${idOf(prompt.name)}`);
            },
            onError: toastError,
          });
      }}
    >
      <Button>{label}</Button>
    </FileTrigger>
  );
}
