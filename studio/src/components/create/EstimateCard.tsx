import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Button } from "react-aria-components";
import { needsSignIn } from "../../api/client";
import type { Estimate } from "../../api/datasets";
import { useServerInfo } from "../../api/server";
import { totalSteps, type Draft } from "../../draft";
import { count, durationRange, megabytes } from "../../format";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";
import { Facts } from "../Facts";

type Props = {
  draft: Draft;
  estimate: UseQueryResult<Estimate>;
  isAsked: boolean;
  tune: () => void;
  error: unknown;
  isBusy: boolean;
  children: ReactNode;
};

/** What tuning will take, and the button. */
export function EstimateCard({ draft, estimate, isAsked, tune, error, isBusy, children }: Props) {
  const rows = draft.examples.length;
  const known = isAsked ? estimate.data : undefined;
  const price = useServerInfo().data?.hourlyPrice;
  return (
    <aside className="card stack sticky" aria-label={text.estimate.title}>
      <h2>{text.estimate.title}</h2>
      {rows === 0 ? (
        <p className="soft">{text.estimate.waiting}</p>
      ) : (
        <Facts
          facts={[
            [text.estimate.examples, count(known?.exampleCount ?? rows)],
            [text.model.heldOutRows, known?.heldOutCount || undefined],
            [text.estimate.steps, count(known?.totalSteps ?? totalSteps(rows, draft))],
            ...(known ? details(known) : []),
            [text.estimate.price, price],
          ]}
        />
      )}
      {known && <Cut rows={known.cutRows ?? []} />}
      {known?.memory.fits === false && <p className="note warn small">{text.estimate.tight}</p>}
      {error == null && isAsked && estimate.isError && !needsSignIn(estimate.error) && (
        <div className="stack tight">
          <ErrorNote error={estimate.error} />
          <p className="small soft">{text.estimate.unavailable}</p>
        </div>
      )}
      {error != null && <ErrorNote error={error} />}
      <Button className="button primary large" isDisabled={isBusy} onPress={tune}>
        {text.create.tune}
      </Button>
      {children}
    </aside>
  );
}

function details({ totalTokens, seconds, memory, waitingBefore }: Estimate): [string, ReactNode][] {
  const range = durationRange(seconds.atLeast, seconds.atMost);
  const source = seconds.source === "measured" ? text.estimate.measured : text.estimate.guess;
  return [
    [text.estimate.tokens, count(totalTokens)],
    [
      text.estimate.time,
      <span key="time">
        {text.estimate.onThisMachine(range)} <span className="small soft">({source})</span>
      </span>,
    ],
    [text.estimate.memory, memory.neededBytes ? memoryText(memory.neededBytes, memory.freeBytes) : undefined],
    [text.estimate.queue, waitingBefore ? text.library.ahead(waitingBefore) : undefined],
  ];
}

function memoryText(needed: number, free: number | undefined) {
  return free === undefined ? megabytes(needed) : text.estimate.free(megabytes(needed), megabytes(free));
}

function Cut({ rows }: { rows: number[] }) {
  if (rows.length === 0) return null;
  return (
    <p className="note warn small">
      {text.estimate.cut(rows.length)} <a href="#examples">{text.estimate.showCut}</a>
    </p>
  );
}
