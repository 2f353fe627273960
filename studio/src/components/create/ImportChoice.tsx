import { useState } from "react";
import { Button, DropZone, FileTrigger, Text } from "react-aria-components";
import { Link } from "wouter";
import { useLimits } from "../../api/account";
import { isDraft, usePrompts } from "../../api/examples";
import { idOf } from "../../api/client";
import type { Example } from "../../draft";
import { SAMPLE_IDS, sampleFile, SAMPLES } from "../../draftSource";
import { fileSize } from "../../format";
import { isSheetsAddress, parsePasted, pastedFile } from "../../transfer";
import { Checkbox, TextInput } from "../controls";
import { Window } from "../dialogs";
import { Skeleton } from "../Page";
import { PastedNotes } from "./PastedNotes";
import { text } from "./text";

type ImportChoiceProps = {
  read: (file: File) => void;
  use: (examples: Example[], source: string) => void;
  cancel?: () => void;
};

/** The ways to add examples: a file, a structured prompt, typed or pasted rows, a sample. */
export function ImportChoice({ read, use, cancel }: ImportChoiceProps) {
  const limit = useLimits().requestBytes;
  const [pasted, setPasted] = useState<string>(); // undefined: the box is closed
  const [isChoosing, setChoosing] = useState(false);
  return (
    <>
      <DropZone
        className="drop"
        onDrop={(event) =>
          void dropped(event.items).then((found) => (found instanceof File ? read(found) : setPasted(found)))
        }
      >
        <Text slot="label">{text.import.drop}</Text>
        <FileTrigger onSelect={(files) => files?.[0] && read(files[0])}>
          <Button className="button primary">{text.import.file}</Button>
        </FileTrigger>
        <span className="help">{text.import.formats(limit === undefined ? undefined : fileSize(limit))}</span>
      </DropZone>
      <div className="row">
        <Button onPress={() => setChoosing(true)}>{text.import.prompt}</Button>
        <Button aria-expanded={pasted !== undefined} onPress={() => setPasted(pasted === undefined ? "" : undefined)}>
          {text.import.type}
        </Button>
        {cancel && (
          <Button className="button quiet" onPress={cancel}>
            {text.common.cancel}
          </Button>
        )}
      </div>
      {pasted !== undefined &&
        (isSheetsAddress(pasted) ? (
          <div className="note" role="status">
            {text.import.sheets}{" "}
            <Button className="button quiet" onPress={() => setPasted("")}>
              {text.common.close}
            </Button>
          </div>
        ) : (
          <PasteBox pasted={pasted} change={setPasted} use={use} read={read} />
        ))}
      {!cancel && (
        <div>
          <h3>{text.import.samples}</h3>
          <ul className="samples">
            {SAMPLE_IDS.map((id) => (
              <li key={id}>
                <Button onPress={() => void sampleFile(id).then(read)}>{SAMPLES[id].name}</Button>
                <span className="small soft">{SAMPLES[id].about}</span>
              </li>
            ))}
          </ul>
        </div>
      )}
      {isChoosing && <PromptChoice onClose={() => setChoosing(false)} />}
    </>
  );
}

type Item = { kind: string; getFile?: () => Promise<File>; getText?: (type: string) => Promise<string> };

/** The first dropped file, else the dropped text. */
async function dropped(items: Item[]): Promise<File | string> {
  const file = await items.find(({ kind }) => kind === "file")?.getFile?.();
  return file ?? (await items.find(({ kind }) => kind === "text")?.getText?.("text/plain")) ?? "";
}

type PasteBoxProps = ImportChoiceProps & {
  pasted: string;
  change: (pasted: string) => void;
};

/** Typed or pasted rows: input, tab, output. */
function PasteBox({ pasted, change, use, read }: PasteBoxProps) {
  const found = parsePasted(pasted);
  const complete = found.rows.length - found.incomplete.length;
  return (
    <div className="stack">
      <TextInput label={text.import.pasteHelp} value={pasted} change={change} area={{ rows: 6, onKeyDown: typeTab }} />
      <PastedNotes pasted={found} />
      <div className="row">
        {found.width > 2 ? (
          <Button onPress={() => read(pastedFile(pasted, text.import.pastedName))}>{text.import.chooseColumns}</Button>
        ) : (
          <Button isDisabled={complete === 0} onPress={() => use(found.rows, "")}>
            {text.import.usePasted(complete, found.incomplete.length)}
          </Button>
        )}
      </div>
    </div>
  );
}

/** Ctrl+I types a tab, because the Tab key moves the focus. */
function typeTab(event: React.KeyboardEvent<HTMLTextAreaElement>) {
  if (event.key !== "i" || !event.ctrlKey) return;
  event.preventDefault();
  const box = event.currentTarget;
  box.setRangeText("\t", box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Choose a structured prompt; its rows become the examples. */
function PromptChoice({ onClose }: { onClose: () => void }) {
  const query = usePrompts();
  const prompts = (query.data ?? []).filter((prompt) => !isDraft(prompt));
  const [isLabelled, setLabelled] = useState(true);
  return (
    <Window title={text.import.prompt} isOpen onClose={onClose}>
      {query.isPending && <Skeleton />}
      {query.isSuccess && prompts.length === 0 && <p className="soft">{text.import.noPrompts}</p>}
      <Checkbox label={text.import.include} isChecked={isLabelled} change={setLabelled} />
      <ul className="choices">
        {prompts.map(({ name, displayName, rowCount }) => (
          <li key={name}>
            <Link href={`/new?prompt=${idOf(name)}${isLabelled ? "" : "&plain=1"}`} onClick={onClose}>
              {displayName}
            </Link>
            <span className="small soft">{text.import.found(rowCount)}</span>
          </li>
        ))}
      </ul>
    </Window>
  );
}
