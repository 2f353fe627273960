import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { useLimits } from "../../api/account";
import { ApiError, type Schemas } from "../../api/client";
import { type Estimate, type Parsed, parseFile, type ReadOptions } from "../../api/examples";
import { type Draft, type Example } from "../../draft";
import { count, fileSize } from "../../format";
import type { Refused } from "../../rows";
import { ExamplesGrid } from "../grid/ExamplesGrid";
import { ErrorNote, Section, Skeleton } from "../Page";
import { toast } from "../toasts";
import { ImportChoice } from "./ImportChoice";
import { ImportPreview } from "./ImportPreview";
import { text } from "./text";

type Props = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  file?: File; // a sample to import
  estimate?: Estimate;
  refused: Refused[];
};

/** The examples: ways to import them, the preview of a file, and the grid. */
export function ExamplesSection({ draft, change, file, estimate, refused }: Props) {
  const [parsed, setParsed] = useState<Parsed>();
  const [error, setError] = useState<unknown>();
  const [isReading, setReading] = useState(false);
  const [isAdding, setAdding] = useState(false); // more examples to the existing ones
  const reading = useRef(0);
  const { requestBytes: limit, displayNameCharacters } = useLimits();
  async function read(next: File, options: ReadOptions = {}) {
    setError(undefined);
    if (limit !== undefined && next.size > limit) {
      const message = text.import.tooLarge(fileSize(next.size), fileSize(limit));
      return setError(new ApiError(message, 400, ""));
    }
    setReading(true);
    const number = ++reading.current;
    const isNewest = () => number === reading.current; // earlier requests may return later
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
    const displayName = draft.displayName || source.replace(/\.[^.]*$/, "").slice(0, displayNameCharacters);
    change({ examples: all, source, displayName });
    if (isAdding) toast(text.import.appended(examples.length));
    setParsed(undefined);
    setAdding(false);
    document.getElementById("examples")?.focus(); // the button that had the focus is gone
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
            read={(pasted) => {
              setAdding(true);
              void read(pasted);
            }}
            estimate={estimate}
            refused={refused}
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

/** Call `act` once for each file that arrives as a prop. */
function useArrived(file: File | undefined, act: (file: File) => void) {
  const seen = useRef<File>(undefined);
  useEffect(() => {
    if (file && seen.current !== file) {
      seen.current = file;
      act(file);
    }
  });
}

const SHOWN_LABELS = 6;

/** Number and length of the examples, and whether there are enough. */
function ExampleFacts({ examples, estimate }: { examples: Example[]; estimate?: Estimate }) {
  const unique = new Set(examples.map(({ textInput }) => textInput)).size;
  const isCurrent = estimate?.exampleTokens.length === examples.length;
  const facts = text.create.facts(
    examples.length,
    unique,
    isCurrent ? estimate.longestExampleTokens : undefined,
    isCurrent ? estimate.exampleTokens.reduce((sum, tokens) => sum + tokens, 0) : undefined,
  );
  const labels = (isCurrent && estimate.outputs?.labels) || undefined;
  return (
    <div className="stack tight">
      <p>
        <strong>{facts}</strong>
      </p>
      <p className="small soft">
        {advice(examples.length)} {labels && text.create.labels(listed(labels))}
      </p>
    </div>
  );
}

function listed(found: Schemas["LabelCountOut"][]) {
  const shown = found.slice(0, SHOWN_LABELS).map(({ label, rows }) => `${label} ${count(rows)}`);
  return shown.join(", ") + (found.length > SHOWN_LABELS ? " and others" : "");
}

function advice(rows: number) {
  if (rows < 20) return text.create.few(rows);
  return rows < 100 ? text.create.fine(rows) : text.create.many(rows);
}
