import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, type Ref, useState } from "react";
import { Button } from "react-aria-components";
import { useServerInfo } from "../../api/account";
import { needsSignIn, type Schemas } from "../../api/client";
import type { Estimate } from "../../api/examples";
import { type Draft, isGoodId, requestOf } from "../../draft";
import { count, durationRange, megabytes } from "../../format";
import type { Refused } from "../../rows";
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
  refused: Refused[];
  leaveOut: (rows: number[]) => void;
  show: (kind: string) => void; // the rows with this problem in the grid
  tune: () => void;
  error: unknown;
  isBusy: boolean;
};

/** The estimated cost of tuning, and the button that starts it. */
export function EstimateCard(props: Props) {
  const { draft, estimate, canEstimate, refused, leaveOut, show, tune, error, isBusy } = props;
  const rows = draft.examples.length;
  const known = canEstimate && refused.length === 0 ? estimate.data : undefined;
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
      {known && <Cut rows={known.cutRows ?? []} show={() => show("long-row")} />}
      {known?.rateWarning && <p className="note warn small">{known.rateWarning}</p>}
      {known?.memory.fits === false && <p className="note warn small">{text.estimate.tight}</p>}
      <RefusedRows refused={refused} leaveOut={leaveOut} show={() => show("refused")} />
      {error == null && refused.length === 0 && canEstimate && estimate.isError && !needsSignIn(estimate.error) && (
        <div className="stack tight">
          <ErrorNote error={estimate.error} />
          <p className="small soft">{text.estimate.unavailable}</p>
        </div>
      )}
      {error != null && refused.length === 0 && <ErrorNote error={error} />}
      <Button className="button primary large" isDisabled={isBusy} onPress={tune}>
        {text.create.tune}
      </Button>
      <RequestCode draft={draft} />
    </aside>
  );
}

function details({ totalTokens, seconds, foldSeconds, memory, waitingBefore }: Estimate): [string, ReactNode][] {
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
    [text.estimate.check, foldSeconds && durationRange(foldSeconds.atLeast, foldSeconds.atMost)],
    [text.estimate.memory, memory.neededBytes ? memoryText(memory.neededBytes, memory) : undefined],
    [text.estimate.queue, waitingBefore ? text.job.ahead(waitingBefore) : undefined],
  ];
}

function memoryText(needed: number, { freeBytes, weights, recomputes }: Estimate["memory"]) {
  const free =
    freeBytes === undefined ? megabytes(needed) : text.estimate.free(megabytes(needed), megabytes(freeBytes));
  return [free, weights && text.estimate.inBits(weights), recomputes && text.estimate.recomputes]
    .filter(Boolean)
    .join(" · ");
}

function Cut({ rows, show }: { rows: number[]; show: () => void }) {
  if (rows.length === 0) return null;
  return (
    <p className="note warn small">
      {text.estimate.cut(rows.length)}{" "}
      <Button className="button quiet tiny" onPress={show}>
        {text.estimate.showCut}
      </Button>
    </p>
  );
}

const SHOWN_REFUSED = 3;

type RefusedRowsProps = { refused: Refused[]; leaveOut: (rows: number[]) => void; show: () => void };

/** The rows that stop tuning, such as outputs that do not fit the model, and a button that leaves them out. */
function RefusedRows({ refused, leaveOut, show }: RefusedRowsProps) {
  const rows = [...new Set(refused.map(({ row }) => row))];
  if (rows.length === 0) return null;
  return (
    <div className="note bad small stack tight" role="alert">
      <strong>{text.estimate.cannotStart}</strong>
      <ul className="plain-list">
        {refused.slice(0, SHOWN_REFUSED).map(({ row, message }) => (
          <li key={`${row} ${message}`}>{message}</li>
        ))}
      </ul>
      {refused.length > SHOWN_REFUSED && <p>{text.problems.more(refused.length - SHOWN_REFUSED)}</p>}
      <div className="row">
        <Button className="button small-button" onPress={() => leaveOut(rows)}>
          {text.estimate.leaveOut(rows.length)}
        </Button>
        <Button className="button quiet small-button" onPress={show}>
          {text.estimate.showCut}
        </Button>
      </div>
    </div>
  );
}

/** Problems to fix before tuning can start, with links to their places. */
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

/** Problems to fix, in the order of the form. */
export function problemsOf(
  draft: Draft,
  brokenRows: number,
  refusedRows: number,
  limits: Partial<Schemas["LimitsOut"]>,
): FormProblem[] {
  const problems: FormProblem[] = [];
  if (draft.examples.length === 0) problems.push({ place: "examples", message: text.create.needExamples });
  if (brokenRows > 0) problems.push({ place: "examples", message: text.create.brokenRows(brokenRows) });
  if (refusedRows > 0) problems.push({ place: "examples", message: text.create.refusedRows(refusedRows) });
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
