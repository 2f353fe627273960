import { useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { SEEN, useServerInfo } from "../../api/account";
import { idOf, type Operation, type TunedModel } from "../../api/client";
import { isRunning, useLog } from "../../api/models";
import { DEFAULT_SETTINGS } from "../../draft";
import { duration, megabytes, percent } from "../../format";
import { download } from "../../transfer";
import { ScrollRegion } from "../Facts";
import { QueryState } from "../Page";
import { notifyState, startNotifying, stopNotifying } from "../toasts";
import { text } from "./text";

const PHASES = Object.entries(text.phases);

/** The phases of a tuning job, its progress and the time left. */
export function Progress({ model, operation }: { model: TunedModel; operation: Operation }) {
  const { phase, waitingBefore, totalSteps, completedSteps, curve, secondsLeft: left } = operation.metadata;
  const { usage } = operation.metadata;
  const { epochCount } = model.tuningTask.hyperparameters;
  const cores = useServerInfo().data?.device?.cores;
  const now = PHASES.findIndex(([name]) => name === phase);
  const current = PHASES[now]?.[1];
  const done = percent(completedSteps, totalSteps);
  const epoch = curve?.epoch ?? 1;
  const isTuning = phase === "RUNNING";
  const where = isTuning
    ? text.model.position(epoch, epochCount, completedSteps, totalSteps, done)
    : waitingBefore !== undefined
      ? text.job.ahead(waitingBefore)
      : current?.now;
  return (
    <section className="card stack" aria-label={text.model.progress}>
      <ol className="phases">
        {PHASES.map(([id, { name }], place) => (
          <li
            key={id}
            data-state={place < now ? "done" : place === now ? "now" : "later"}
            aria-current={place === now ? "step" : undefined}
          >
            {name}
          </li>
        ))}
      </ol>
      <div>
        {where}
        {left !== undefined && isTuning && ` · ${text.job.left(duration(left))}`}
      </div>
      <div
        className="track"
        role="progressbar"
        aria-label={text.model.progress}
        aria-valuenow={done}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <div className="fill" style={{ width: `${done}%` }} />
      </div>
      <div className="row spread small soft">
        <span>
          {usage &&
            usage.memoryBytes > 0 &&
            text.model.usage(usage.processorCores, cores, megabytes(usage.memoryBytes))}
        </span>
        <NotifyButton />
      </div>
      {/* announced once per epoch and phase, not at every step */}
      <div className="visually-hidden" role="status">
        {isTuning ? text.model.announceEpoch(epoch, epochCount) : current?.name}
      </div>
    </section>
  );
}

/** Asks for notifications of the browser, only when pressed. */
function NotifyButton() {
  const [state, setState] = useState(notifyState);
  if (state === "impossible") return null;
  if (state === "denied") return <span>{text.model.notifyDenied}</span>;
  return state === "on" ? (
    <Button className="button quiet tiny" onPress={() => setState(stopNotifying())}>
      {text.model.notifyStop}
    </Button>
  ) : (
    <Button className="button quiet tiny" onPress={() => void startNotifying().then(setState)}>
      {text.model.notify}
    </Button>
  );
}

/** How a tuning job ended: ready (shown once per browser), cancelled, or failed and why. */
export function Outcome({ model }: { model: TunedModel }) {
  if (model.cancelled) return <CancelledNote model={model} />;
  if (model.state === "FAILED") return <FailedNote model={model} />;
  return model.state === "ACTIVE" ? <ReadyNote model={model} /> : null;
}

const MAX_SEEN = 500;

function ReadyNote({ model }: { model: TunedModel }) {
  const [isNew] = useState(() => firstTime(model.name));
  if (!isNew) return null;
  return (
    <div className="note good" role="status">
      {text.job.ready(model.displayName)}
    </div>
  );
}

function firstTime(name: string): boolean {
  const seen = JSON.parse(localStorage.getItem(SEEN) ?? "[]") as string[];
  if (seen.includes(name)) return false;
  localStorage.setItem(SEEN, JSON.stringify([...seen.slice(-MAX_SEEN), name]));
  return true;
}

function CancelledNote({ model }: { model: TunedModel }) {
  const { curve, hyperparameters } = model.tuningTask;
  return (
    <div className="note warn">
      {model.state === "ACTIVE"
        ? text.model.cancelledAt(curve?.epoch ?? 1, hyperparameters.epochCount)
        : text.model.cancelledEarly}
    </div>
  );
}

const [INVALID_ARGUMENT, INTERNAL] = [3, 13]; // google.rpc.Code; the messages of all but the last say what to do

function FailedNote({ model }: { model: TunedModel }) {
  const { learningRate } = DEFAULT_SETTINGS;
  // a job that has begun fails with this code only if its learning rate was too high
  const isTooFast =
    model.error?.code === INVALID_ARGUMENT && (model.tuningTask.hyperparameters.learningRate ?? 0) > learningRate;
  return (
    <div className="note bad stack tight">
      <h2>{text.model.failedTitle}</h2>
      <p>{model.error?.message}</p>
      {model.error?.code === INTERNAL && <p>{text.model.failedHelp}</p>}
      <div className="row">
        <Link
          className="button primary"
          href={`/new?from=${idOf(model.name)}${isTooFast ? `&rate=${learningRate}` : ""}`}
        >
          {isTooFast ? text.model.againRate(learningRate) : text.model.againSame}
        </Link>
        <Link className="button" href={`/models/${idOf(model.name)}?tab=log`}>
          {text.model.log}
        </Link>
        <span className="small soft">{text.error.code(model.error?.status ?? "")}</span>
      </div>
    </div>
  );
}

/** The last lines of the job's log. */
export function LogTab({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const query = useLog(id, true, isRunning(model));
  const lines = query.data ?? [];
  return (
    <section className="card stack" aria-labelledby="log">
      <div className="row spread">
        <h2 id="log">{text.model.log}</h2>
        {lines.length > 0 && (
          <Button onPress={() => download(`${id}.log`, lines.join("\n") + "\n")}>{text.common.download}</Button>
        )}
      </div>
      <QueryState query={query} />
      {query.isSuccess && lines.length === 0 && <p className="soft">{text.model.noLog}</p>}
      {lines.length > 0 && (
        <>
          <p className="soft small">{text.model.logHelp}</p>
          <ScrollRegion height={420} label={text.model.logLines}>
            <pre>{lines.join("\n")}</pre>
          </ScrollRegion>
        </>
      )}
    </section>
  );
}
