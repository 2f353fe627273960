import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, type Ref, useState } from "react";
import { Button } from "react-aria-components";
import { useServerInfo } from "../../api/account";
import { needsSignIn, type Schemas } from "../../api/client";
import type { Estimate } from "../../api/examples";
import { type Draft, isGoodId, requestOf } from "../../draft";
import { count, durationRange, megabytes } from "../../format";
import { createSnippets, examplesFile } from "../../snippets";
import { download } from "../../transfer";
import { CodeTabs } from "../Code";
import { Window } from "../dialogs";
import { Facts } from "../Facts";
import { ErrorNote } from "../Page";
import { text } from "./text";

type Props = {
  draft: Draft;
  estimate: UseQueryResult<Estimate>;
  canEstimate: boolean;
  tune: () => void;
  error: unknown;
  isBusy: boolean;
};

/** What tuning will take, and the button that starts it. */
export function EstimateCard({ draft, estimate, canEstimate, tune, error, isBusy }: Props) {
  const rows = draft.examples.length;
  const known = canEstimate ? estimate.data : undefined;
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
            [text.estimate.heldOut, known?.heldOutCount || undefined],
            [text.estimate.steps, known && count(known.totalSteps)],
            ...(known ? details(known) : []),
            [text.estimate.price, price],
          ]}
        />
      )}
      {known && <Cut rows={known.cutRows ?? []} />}
      {known?.memory.fits === false && <p className="note warn small">{text.estimate.tight}</p>}
      {error == null && canEstimate && estimate.isError && !needsSignIn(estimate.error) && (
        <div className="stack tight">
          <ErrorNote error={estimate.error} />
          <p className="small soft">{text.estimate.unavailable}</p>
        </div>
      )}
      {error != null && <ErrorNote error={error} />}
      <Button className="button primary large" isDisabled={isBusy} onPress={tune}>
        {text.create.tune}
      </Button>
      <RequestCode draft={draft} />
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
    [text.estimate.queue, waitingBefore ? text.job.ahead(waitingBefore) : undefined],
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

/** What has to be fixed before tuning can start, with links to the places. */
export function FormProblems({ problems, ref }: { problems: FormProblem[]; ref: Ref<HTMLDivElement> }) {
  return (
    <div className="note bad" role="alert" tabIndex={-1} ref={ref}>
      <h2>{text.create.problems}</h2>
      <ul className="plain-list">
        {problems.map(({ place, message }) => (
          <li key={message}>
            <a href={`#${place}`}>{message}</a>
          </li>
        ))}
      </ul>
    </div>
  );
}

type FormProblem = { place: string; message: string };

/** What has to be fixed, in the order of the form. */
export function problemsOf(draft: Draft, brokenRows: number, limits: Partial<Schemas["LimitsOut"]>): FormProblem[] {
  const problems: FormProblem[] = [];
  if (draft.examples.length === 0) problems.push({ place: "examples", message: text.create.needExamples });
  if (brokenRows > 0) problems.push({ place: "examples", message: text.create.brokenRows(brokenRows) });
  const name = draft.displayName.trim();
  if (name === "" || name.length > (limits.displayNameCharacters ?? Infinity))
    problems.push({ place: "model", message: text.create.needName });
  if (!isGoodId(draft.id, limits.idPattern)) problems.push({ place: "model", message: text.create.idWrong });
  return problems;
}

/** The form as code, with the files that the code reads if there are many examples. */
function RequestCode({ draft }: { draft: Draft }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button className="button quiet" onPress={() => setOpen(true)}>
        {text.common.code}
      </Button>
      {isOpen && (
        <Window title={text.common.code} isOpen isWide onClose={() => setOpen(false)}>
          <CodeTabs snippets={createSnippets(location.origin, requestOf(draft), draft.id)} />
          <div className="row">
            <Button onPress={() => download("examples.jsonl", examplesFile(draft.examples))}>
              {text.common.download} examples.jsonl
            </Button>
            <Button
              onPress={() => download("request.json", JSON.stringify(requestOf(draft), null, 2), "application/json")}
            >
              {text.common.download} request.json
            </Button>
          </div>
        </Window>
      )}
    </>
  );
}
