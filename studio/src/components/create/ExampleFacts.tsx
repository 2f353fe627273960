import type { Estimate } from "../../api/datasets";
import type { Example } from "../../draft";
import { count } from "../../format";
import { labels } from "../../rows";
import { text } from "../../text/en";

const SHOWN_LABELS = 6;

/** How many examples there are, how long they are, and whether that is enough. */
export function ExampleFacts({ examples, estimate }: { examples: Example[]; estimate?: Estimate }) {
  const unique = new Set(examples.map(({ textInput }) => textInput)).size;
  const isCurrent = estimate?.exampleTokens.length === examples.length;
  const facts = text.create.facts(
    examples.length,
    unique,
    isCurrent ? estimate.longestExampleTokens : undefined,
    isCurrent ? estimate.exampleTokens.reduce((sum, tokens) => sum + tokens, 0) : undefined,
  );
  const found = labels(examples);
  return (
    <div className="stack tight">
      <p>
        <strong>{facts}</strong>
      </p>
      <p className="small soft">
        {advice(examples.length)} {found && text.create.labels(listed(found))}
      </p>
    </div>
  );
}

function listed(found: [string, number][]) {
  const shown = found.slice(0, SHOWN_LABELS).map(([label, times]) => `${label} ${count(times)}`);
  return shown.join(", ") + (found.length > SHOWN_LABELS ? " and others" : "");
}

function advice(rows: number) {
  if (rows < 20) return text.create.few(rows);
  return rows < 100 ? text.create.fine(rows) : text.create.many(rows);
}
