import { useEffect, useRef, useState } from "react";
import { Button, DropZone, FileTrigger, Label, TextArea, TextField } from "react-aria-components";
import { parseFile, type Parsed } from "../api/datasets";
import type { Draft } from "../draft";
import { parseExamples } from "../paste";
import { text } from "../text/en";
import { ErrorNote } from "./ErrorNote";
import { ExamplesTable } from "./ExamplesTable";
import { ImportPreview } from "./ImportPreview";

type Props = { draft: Draft; change: (part: Partial<Draft>) => void; sample?: string };

/** Bring examples: a file, pasted rows, or a sample. */
export function ExamplesSection({ draft, change, sample }: Props) {
  const [parsed, setParsed] = useState<Parsed>();
  const [error, setError] = useState<unknown>();
  const [pasted, setPasted] = useState("");
  async function read(file: File, options: Record<string, string> = {}) {
    setError(undefined);
    try {
      setParsed(await parseFile(file, options));
    } catch (problem) {
      setError(problem);
    }
  }
  async function readSample(name: string) {
    const reply = await fetch(`/studio/samples/${name}.csv`);
    await read(new File([await reply.blob()], `${name}.csv`));
  }
  const wanted = useRef(sample); // a sample of the address is read once, when the page is entered with it
  useEffect(() => {
    const name = wanted.current;
    wanted.current = undefined;
    if (name) void readSample(name);
  });
  return (
    <section className="card stack" aria-labelledby="examples">
      <h2 id="examples">{text.create.examples}</h2>
      {error !== undefined && <ErrorNote error={error} />}
      {parsed ? (
        <ImportPreview
          parsed={parsed}
          again={(options) => void read(parsed.file, options)}
          leave={() => setParsed(undefined)}
          use={(examples) => {
            const displayName = draft.displayName || parsed.file.name.replace(/\.[^.]*$/, "").slice(0, 40);
            change({ examples, source: parsed.file.name, displayName });
            setParsed(undefined);
          }}
        />
      ) : draft.examples.length > 0 ? (
        <ExamplesTable
          examples={draft.examples}
          source={draft.source}
          clear={() => change({ examples: [] })}
        />
      ) : (
        <>
          <DropZone
            className="drop"
            onDrop={(event) => void dropped(event).then((file) => file && read(file))}
          >
            <Label>{text.create.drop}</Label>
            <FileTrigger onSelect={(files) => files?.[0] && void read(files[0])}>
              <Button className="button primary">{text.create.import}</Button>
            </FileTrigger>
            <span className="help">{text.create.formats}</span>
            <Button className="button quiet" onPress={() => void readSample("tickets")}>
              {text.create.sample}
            </Button>
          </DropZone>
          <details>
            <summary>{text.create.paste}</summary>
            <div className="stack" style={{ marginTop: 12 }}>
              <TextField value={pasted} onChange={setPasted}>
                <Label>{text.create.pasteHelp}</Label>
                <TextArea rows={6} />
              </TextField>
              <div className="row">
                <Button
                  onPress={() => change({ examples: parseExamples(pasted).examples, source: "pasted rows" })}
                  isDisabled={parseExamples(pasted).examples.length === 0}
                >
                  {text.create.useFile}
                </Button>
              </div>
            </div>
          </details>
        </>
      )}
    </section>
  );
}

async function dropped(event: { items: { kind: string; getFile?: () => Promise<File> }[] }) {
  const item = event.items.find(({ kind }) => kind === "file");
  return item?.getFile?.();
}
