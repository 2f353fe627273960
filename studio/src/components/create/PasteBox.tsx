import { Button, Label, TextArea, TextField } from "react-aria-components";
import type { Example } from "../../draft";
import { parseExamples } from "../../paste";
import { text } from "../../text/en";

type Props = {
  pasted: string;
  change: (pasted: string) => void;
  use: (examples: Example[], source: string) => void;
};

const SHOWN = 10;

/** Rows typed or pasted: input, a tab, output. */
export function PasteBox({ pasted, change, use }: Props) {
  const { examples, wrong } = parseExamples(pasted);
  return (
    <div className="stack">
      <TextField value={pasted} onChange={change}>
        <Label>{text.import.pasteHelp}</Label>
        <TextArea rows={6} onKeyDown={typeTab} />
      </TextField>
      {wrong.length > 0 && pasted.trim() !== "" && (
        <p className="small soft" role="status">
          {text.import.wrongRows(wrong.slice(0, SHOWN).join(", ") + (wrong.length > SHOWN ? ", …" : ""))}
        </p>
      )}
      <div className="row">
        <Button isDisabled={examples.length === 0} onPress={() => use(examples, "")}>
          {text.import.usePasted(examples.length)}
        </Button>
      </div>
    </div>
  );
}

/** Ctrl+I types a tab, since the key itself leads on to the next control. */
function typeTab(event: React.KeyboardEvent<HTMLTextAreaElement>) {
  if (event.key !== "i" || !event.ctrlKey) return;
  event.preventDefault();
  const box = event.currentTarget;
  box.setRangeText("\t", box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
}
