import { Link } from "wouter";
import { useState } from "react";
import type { TunedModel } from "../../api/client";
import { idOf } from "../../api/models";
import { epochOf } from "../../format";
import { text } from "../../text/en";

/** How a run ended: ready (said once in each browser), cancelled, or failed with what to do. */
export function Outcome({ model }: { model: TunedModel }) {
  if (model.cancelled) return <CancelledNote model={model} />;
  if (model.state === "FAILED") return <FailedNote model={model} />;
  return model.state === "ACTIVE" ? <ReadyNote model={model} /> : null;
}

const KEY = "tunery-seen";
const MAX_SEEN = 500;

function ReadyNote({ model }: { model: TunedModel }) {
  const [isNew] = useState(() => firstTime(model.name));
  if (!isNew) return null;
  return (
    <div className="note good" role="status">
      {text.model.ready(model.displayName)}
    </div>
  );
}

function firstTime(name: string): boolean {
  const seen = JSON.parse(localStorage.getItem(KEY) ?? "[]") as string[];
  if (seen.includes(name)) return false;
  localStorage.setItem(KEY, JSON.stringify([...seen.slice(-MAX_SEEN), name]));
  return true;
}

function CancelledNote({ model }: { model: TunedModel }) {
  const { completedSteps, hyperparameters, data, heldOutRows = 0 } = model.tuningTask;
  const epoch = epochOf(completedSteps, hyperparameters.batchSize, data.rows - heldOutRows);
  return (
    <div className="note warn">
      {model.state === "ACTIVE"
        ? text.model.cancelledAt(epoch, hyperparameters.epochCount)
        : text.model.cancelledEarly}
    </div>
  );
}

function FailedNote({ model }: { model: TunedModel }) {
  const message = model.error?.message ?? "";
  return (
    <div className="note bad stack tight">
      <h2>{text.model.failedTitle}</h2>
      <p>{message}</p>
      <p>{whatToDo(message)}</p>
      <div className="row">
        <Link className="button primary" href={`/new?from=${idOf(model.name)}`}>
          {text.model.againSame}
        </Link>
        <Link className="button" href={`/models/${idOf(model.name)}?tab=log`}>
          {text.model.log}
        </Link>
        <span className="small soft">{text.error.code(String(model.error?.code ?? ""))}</span>
      </div>
    </div>
  );
}

const ADVICE: [RegExp, string][] = [
  [/memory/i, text.help.memory],
  [/unstable|not a number/i, text.help.unstable],
  [/disk|space/i, text.help.disk],
  [/example|row|token/i, text.help.data],
];

/** One sentence to go on with; none where the message says it itself. */
function whatToDo(message: string): string {
  if (/\b(use|free|choose|add|pull|try)\b/i.test(message)) return "";
  return ADVICE.find(([pattern]) => pattern.test(message))?.[1] ?? text.help.other;
}
