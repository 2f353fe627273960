import { useState } from "react";
import { Button } from "react-aria-components";
import { text } from "../text/en";

const SHOWN_MS = 2000;

/** Puts a text on the clipboard and says so. */
export function CopyButton({ content, label = text.common.copy }: { content: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <Button
      onPress={() => {
        void navigator.clipboard.writeText(content).then(() => setCopied(true));
        setTimeout(() => setCopied(false), SHOWN_MS);
      }}
    >
      <span aria-live="polite">{isCopied ? text.common.copied : label}</span>
    </Button>
  );
}
