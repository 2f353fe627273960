import { useState } from "react";
import { Button, DropZone, FileTrigger, Text } from "react-aria-components";
import { useOffers, useServerInfo } from "../../api/server";
import type { Example } from "../../draft";
import { fileSize } from "../../format";
import { isSheetsAddress } from "../../paste";
import { sampleFile, SAMPLES } from "../../samples";
import { text } from "../../text/en";
import { PasteBox } from "./PasteBox";
import { PromptChoice } from "./PromptChoice";

type Props = {
  read: (file: File) => void;
  use: (examples: Example[], source: string) => void;
  cancel?: () => void;
};

const LIMIT_BYTES = 4 * 2 ** 20;

/** The ways to bring examples: a file, a structured prompt, typed or pasted rows, a sample. */
export function ImportChoice({ read, use, cancel }: Props) {
  const limit = useServerInfo().data?.limits?.requestBytes ?? LIMIT_BYTES;
  const hasPrompts = useOffers("prompts");
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
        <span className="help">{text.import.formats(fileSize(limit))}</span>
      </DropZone>
      <div className="row">
        {hasPrompts && <Button onPress={() => setChoosing(true)}>{text.import.prompt}</Button>}
        <Button
          aria-expanded={pasted !== undefined}
          onPress={() => setPasted(pasted === undefined ? "" : undefined)}
        >
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
          <PasteBox pasted={pasted} change={setPasted} use={use} />
        ))}
      {!cancel && (
        <div>
          <h3>{text.import.samples}</h3>
          <ul className="samples">
            {SAMPLES.map((id) => (
              <li key={id}>
                <Button onPress={() => void sampleFile(id).then(read)}>{text.samples[id].name}</Button>
                <span className="small soft">{text.samples[id].about}</span>
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

/** The first file of what was dropped or pasted, else its text. */
async function dropped(items: Item[]): Promise<File | string> {
  const file = await items.find(({ kind }) => kind === "file")?.getFile?.();
  return file ?? (await items.find(({ kind }) => kind === "text")?.getText?.("text/plain")) ?? "";
}
