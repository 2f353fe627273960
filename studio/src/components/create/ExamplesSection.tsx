import { type RefObject, useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { useLimits } from "../../api/account";
import type { Schemas } from "../../api/client";
import type { Estimate } from "../../api/examples";
import { type Draft, type Example } from "../../draft";
import { count } from "../../format";
import type { Filter, Refused } from "../../rows";
import { ExamplesGrid } from "../grid/ExamplesGrid";
import type { GridHandle } from "../grid/RowsGrid";
import { ErrorNote, Section, Skeleton } from "../Page";
import { toast } from "../toasts";
import { useImport } from "../../useImport";
import { ImportChoice } from "./ImportChoice";
import { ImportPreview } from "./ImportPreview";
import { text } from "./text";

type Props = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  file?: File; // a sample to import
  estimate?: Estimate;
  refused: Refused[];
  filter: Filter;
  setFilter: (filter: Filter) => void;
  grid: RefObject<GridHandle | null>;
};

/** The examples: ways to import them, the preview of a file, and the grid, which stays while more are imported. */
export function ExamplesSection({ draft, change, file, estimate, refused, filter, setFilter, grid }: Props) {
  const importing = useImport();
  const [isAdding, setAdding] = useState(false); // more examples to the existing ones
  const panel = useRef<HTMLHeadingElement>(null);
  const { displayNameCharacters } = useLimits();
  useArrived(file, importing.start);
  useEffect(() => {
    if (isAdding) panel.current?.focus();
  }, [isAdding]);
  function leave() {
    importing.leave();
    setAdding(false);
  }
  function use(examples: Example[], source: string) {
    const all = isAdding ? [...draft.examples, ...examples] : examples;
    const displayName = draft.displayName || source.replace(/\.[^.]*$/, "").slice(0, displayNameCharacters);
    change({ examples: all, source: isAdding ? withSource(draft.source, source) : source, displayName });
    if (isAdding) toast(text.import.appended(examples.length));
    leave();
    document.getElementById("examples")?.focus(); // the button that had the focus is gone
  }
  function removeAll() {
    const { examples, source } = draft;
    change({ examples: [], source: "" });
    const undo = { label: text.toast.undo, act: () => change({ examples, source }) };
    toast(text.import.removed(examples.length), { action: undo, topic: "grid" });
  }
  const hasExamples = draft.examples.length > 0;
  const ways = <ImportWays importing={importing} use={use} cancel={isAdding ? leave : undefined} />;
  return (
    <Section id="examples" number={1} title={text.create.examples}>
      {!hasExamples && ways}
      {hasExamples && (
        <>
          <ExampleFacts examples={draft.examples} estimate={estimate} />
          <ExamplesGrid
            rows={draft.examples}
            change={(examples) => change({ examples })}
            read={(pasted) => {
              setAdding(true);
              importing.start(pasted);
            }}
            estimate={estimate}
            refused={refused}
            filter={filter}
            setFilter={setFilter}
            ref={grid}
          />
          {!isAdding && (
            <div className="row">
              <Button onPress={() => setAdding(true)}>{text.import.addMore}</Button>
              <Button className="button quiet" onPress={removeAll}>
                {text.import.another}
              </Button>
            </div>
          )}
          {isAdding && (
            <section className="panel stack" aria-labelledby="import-more">
              <h3 id="import-more" ref={panel} tabIndex={-1}>
                {text.import.moreTitle}
              </h3>
              {ways}
            </section>
          )}
        </>
      )}
    </Section>
  );
}

type ImportWaysProps = {
  importing: ReturnType<typeof useImport>;
  use: (examples: Example[], source: string) => void;
  cancel?: () => void;
};

/** The ways to import, and how the chosen file was read. */
function ImportWays({ importing, use, cancel }: ImportWaysProps) {
  const { parsed, error, isReading } = importing;
  return (
    <>
      {error && <ErrorNote error={error.cause} retry={error.retry} />}
      {isReading && !parsed && <Skeleton />}
      {parsed && (
        <ImportPreview
          key={importing.number}
          parsed={parsed}
          isReading={isReading}
          again={importing.again}
          leave={importing.leave}
          use={(examples) =>
            use(
              examples.map(({ textInput, output }) => ({ textInput, output })),
              parsed.file.name,
            )
          }
        />
      )}
      {!parsed && !isReading && <ImportChoice read={importing.start} use={use} cancel={cancel} />}
    </>
  );
}

const MAX_SOURCE = 200; // characters, the server's limit

/** The names of all imported files. */
function withSource(before: string, next: string): string {
  const names = [...new Set([...before.split(", "), next])].filter(Boolean).join(", ");
  return names.length > MAX_SOURCE ? `${names.slice(0, MAX_SOURCE - 1)}…` : names;
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
const FEW = "few-examples"; // already in the advice

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
  const ofAll = isCurrent ? (estimate.problems ?? []).filter(({ row, kind }) => row === undefined && kind !== FEW) : [];
  return (
    <div className="stack tight">
      <p>
        <strong>{facts}</strong>
      </p>
      <p className="small soft">
        {isCurrent && estimate.rowsAdvice} {labels && text.create.labels(listed(labels))}
      </p>
      {ofAll.map(({ message }) => (
        <p key={message} className="note warn small sentence">
          {message}
        </p>
      ))}
    </div>
  );
}

function listed(found: Schemas["LabelCountOut"][]) {
  const shown = found.slice(0, SHOWN_LABELS).map(({ label, rows }) => `${label} ${count(rows)}`);
  return shown.join(", ") + (found.length > SHOWN_LABELS ? " and others" : "");
}
