import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { ApiError } from "../../api/client";
import { parseFile, type Estimate, type Parsed, type ReadOptions } from "../../api/datasets";
import { useServerInfo } from "../../api/server";
import { NAME_CHARACTERS, type Draft, type Example } from "../../draft";
import { fileSize } from "../../format";
import { text } from "../../text/en";
import { toast } from "../../toasts";
import { ErrorNote } from "../ErrorNote";
import { ExamplesGrid } from "../grid/ExamplesGrid";
import { Skeleton } from "../Skeleton";
import { ExampleFacts } from "./ExampleFacts";
import { ImportChoice } from "./ImportChoice";
import { ImportPreview } from "./ImportPreview";
import { Section } from "./Section";

const LIMIT_BYTES = 4 * 2 ** 20;

type Props = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  file?: File; // to be read as soon as it is there
  estimate?: Estimate;
};

/** Bring examples, then see and mend them: a file with its preview, pasted rows, or the grid. */
export function ExamplesSection({ draft, change, file, estimate }: Props) {
  const [parsed, setParsed] = useState<Parsed>();
  const [error, setError] = useState<unknown>();
  const [isReading, setReading] = useState(false);
  const [isAdding, setAdding] = useState(false); // more, to those that are there
  const reading = useRef(0);
  const limit = useServerInfo().data?.limits?.requestBytes ?? LIMIT_BYTES;
  async function read(next: File, options: ReadOptions = {}) {
    setError(undefined);
    if (next.size > limit) {
      const message = text.import.tooLarge(fileSize(next.size), fileSize(limit));
      return setError(new ApiError(message, 400, ""));
    }
    setReading(true);
    const number = ++reading.current;
    const isNewest = () => number === reading.current; // what was asked before may come back after
    try {
      const found = await parseFile(next, options);
      if (isNewest()) setParsed(found);
    } catch (problem) {
      if (isNewest()) setError(problem);
    } finally {
      if (isNewest()) setReading(false);
    }
  }
  useArrived(file, (arrived) => void read(arrived));
  function use(examples: Example[], source: string) {
    const all = isAdding ? [...draft.examples, ...examples] : examples;
    const displayName = draft.displayName || source.replace(/\.[^.]*$/, "").slice(0, NAME_CHARACTERS);
    change({ examples: all, source, displayName });
    if (isAdding) toast(text.import.appended(examples.length));
    setParsed(undefined);
    setAdding(false);
    document.getElementById("examples")?.focus(); // where the rows are now; the button that was pressed is gone
  }
  const hasExamples = draft.examples.length > 0;
  return (
    <Section id="examples" number={1} title={text.create.examples}>
      {error !== undefined && <ErrorNote error={error} />}
      {isReading && !parsed && <Skeleton />}
      {parsed ? (
        <ImportPreview
          parsed={parsed}
          isReading={isReading}
          again={(options) => void read(parsed.file, options)}
          leave={() => setParsed(undefined)}
          use={(examples) => use(examples, parsed.file.name)}
        />
      ) : hasExamples && !isAdding ? (
        <>
          <ExampleFacts examples={draft.examples} estimate={estimate} />
          <ExamplesGrid
            rows={draft.examples}
            change={(examples) => change({ examples })}
            estimate={estimate}
          />
          <div className="row">
            <Button onPress={() => setAdding(true)}>{text.import.addMore}</Button>
            <Button className="button quiet" onPress={() => change({ examples: [], source: "" })}>
              {text.import.another}
            </Button>
          </div>
        </>
      ) : (
        !isReading && (
          <ImportChoice
            read={(next) => void read(next)}
            use={use}
            cancel={isAdding ? () => setAdding(false) : undefined}
          />
        )
      )}
    </Section>
  );
}

/** Calls once for a file that comes in from outside. */
function useArrived(file: File | undefined, act: (file: File) => void) {
  const seen = useRef<File>(undefined);
  useEffect(() => {
    if (file && seen.current !== file) {
      seen.current = file;
      act(file);
    }
  });
}
