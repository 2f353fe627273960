import { Button } from "react-aria-components";
import { useEstimate, type Estimate } from "../api/datasets";
import { missing, requestOf, totalSteps, type Draft } from "../draft";
import { count, duration, megabytes } from "../format";
import { text } from "../text/en";
import { ErrorNote } from "./ErrorNote";
import { Facts } from "./Facts";

type Props = { draft: Draft; tune: () => void; error: unknown; isBusy: boolean };

/** What tuning will take, what still stands in its way, and the button. */
export function EstimateCard({ draft, tune, error, isBusy }: Props) {
  const needs = missing(draft, { examples: text.create.needExamples, name: text.create.needName });
  const rows = draft.examples.length;
  const estimate = useEstimate(
    requestOf({ ...draft, displayName: draft.displayName || "estimate" }),
    rows > 0,
  );
  return (
    <aside className="card stack sticky" aria-label={text.create.estimate}>
      <h2 style={{ margin: 0 }}>{text.create.estimate}</h2>
      <Facts
        facts={[
          ["Examples", count(rows)],
          [text.create.steps, rows ? count(totalSteps(draft)) : undefined],
          ...(rows && estimate.data ? details(estimate.data) : []),
        ]}
      />
      {rows > 0 && <p className="small soft">{advice(rows)}</p>}
      {rows > 0 && estimate.isError && <ErrorNote error={estimate.error} />}
      {needs.length > 0 && (
        <ul className="small" style={{ margin: 0, paddingLeft: 18 }}>
          {needs.map((need) => (
            <li key={need}>{need}</li>
          ))}
        </ul>
      )}
      {error != null && <ErrorNote error={error} />}
      <Button className="button primary" isDisabled={needs.length > 0 || isBusy} onPress={tune}>
        {text.create.tune}
      </Button>
    </aside>
  );
}

function details({ totalTokens, seconds, memory, waitingBefore }: Estimate): [string, string | undefined][] {
  const time = `${duration(seconds.atLeast)} – ${duration(seconds.atMost)}`;
  const source = seconds.source === "measured" ? text.create.measured : text.create.guess;
  return [
    [text.create.tokens, count(totalTokens)],
    [text.create.time, `${time} (${source})`],
    [text.create.memory, memory.neededBytes ? memoryText(memory.neededBytes, memory.freeBytes) : undefined],
    [text.create.queue, waitingBefore ? text.library.ahead(waitingBefore) : undefined],
  ];
}

function memoryText(needed: number, free: number | undefined) {
  return free === undefined ? megabytes(needed) : `${megabytes(needed)} of ${megabytes(free)} free`;
}

function advice(rows: number) {
  if (rows < 20) return text.create.few(rows);
  return rows < 100 ? text.create.fine(rows) : text.create.many(rows);
}
