import { diffWords } from "diff";
import { useEffect, useState } from "react";
import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import type { Answer, Remarks } from "../../api/answers";
import { idOf } from "../../api/client";
import { useTunedModel } from "../../api/models";
import { duration, share } from "../../format";
import { addToDraft, setAside } from "../../useDraft";
import { CopyButton } from "../Code";
import { TextInput } from "../controls";
import { Window } from "../dialogs";
import { ErrorNote } from "../Page";
import { toast } from "../toasts";
import { text } from "./text";

type Props = { name: string; model: string; prompt: string; answer?: Answer; against?: string };

/** The answer of one model with its tokens and time, optionally as a diff against another answer. */
export function AnswerPanel({ name, model, prompt, answer, against }: Props) {
  const [isAdding, setAdding] = useState(false);
  const { usage, isRunning = false, text: said = "", error } = answer ?? {};
  return (
    <section className="card stack tight answer-panel" aria-label={text.playground.answerOf(name)}>
      <div>
        <h2 dir="auto">{name}</h2>
        <div className="small soft mono">{model}</div>
      </div>
      {error !== undefined ? (
        <ErrorNote error={error} />
      ) : (
        <div className="answer" dir="auto" aria-busy={isRunning} aria-live={isRunning ? "off" : "polite"}>
          {said.trim() ? (
            against ? (
              <WordDiff before={against} after={said} />
            ) : (
              said
            )
          ) : (
            <span className="soft">
              {isRunning ? (
                <Waiting since={answer?.since ?? 0} />
              ) : answer ? (
                withoutText(answer)
              ) : (
                text.playground.waiting
              )}
            </span>
          )}
        </div>
      )}
      {usage && (
        <div className="small soft">
          {text.playground.tokens(usage.input, usage.output)} · {usage.seconds.toFixed(1)} s
          {` · ${answer && !isRunning ? finish(answer) : text.playground.generating}`}
        </div>
      )}
      {answer && !isRunning && <AnswerRemarks remarks={answer.remarks} />}
      {said && !isRunning && (
        <div className="row small-gap">
          <CopyButton content={said} />
          <Button className="button quiet" onPress={() => setAdding(true)}>
            {text.playground.asExample}
          </Button>
        </div>
      )}
      {isAdding && <AddExample model={model} prompt={prompt} answer={said.trim()} onClose={() => setAdding(false)} />}
    </section>
  );
}

const SECOND_MS = 1000;

/** The time spent waiting for the first word; whether the server is loading, waiting or reading is not known here. */
function Waiting({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), SECOND_MS);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.floor(Math.max(0, now - since) / SECOND_MS);
  return <>{text.playground.firstWord(seconds > 0 ? duration(seconds) : "")}</>;
}

/** Why an answer that has ended has no visible text. */
export function withoutText({ wasStopped, usage }: Answer) {
  if (wasStopped) return text.playground.stopped;
  const tokens = usage?.output ?? 0;
  return tokens > 1 ? text.playground.invisible(tokens) : text.playground.empty;
}

function finish({ usage, wasStopped }: Answer) {
  if (wasStopped) return text.playground.stopped;
  return usage?.finishReason === "MAX_TOKENS" ? text.playground.cut(usage.output) : text.playground.finished;
}

const SHOWN = 5;

/** The server's remarks: how the prompt differs from the examples, and the probability of each label. */
function AnswerRemarks({ remarks: { promptContract, labelProbabilities } }: { remarks: Remarks }) {
  const differences = promptContract?.differences ?? [];
  return (
    <>
      {promptContract?.wrapped && <p className="small soft">{text.playground.wrapped}</p>}
      {differences.length > 0 && (
        <p className="note warn small" role="status">
          {text.playground.unlike(differences.map((difference) => difference.text))}
        </p>
      )}
      <Bars label={text.playground.probabilities} of={Object.entries(labelProbabilities ?? {}).slice(0, SHOWN)} />
    </>
  );
}

/** A bar for each label or option with its probability; nothing if there are none. */
export function Bars({ label, of }: { label: string; of: readonly (readonly [name: string, probability: number])[] }) {
  if (of.length === 0) return null;
  return (
    <dl className="bars small" aria-label={label}>
      {of.map(([name, probability]) => (
        <div key={name}>
          <dt dir="auto">{name}</dt>
          <dd>
            <span className="track" aria-hidden="true">
              <span className="fill" style={{ width: `${100 * probability}%` }} />
            </span>
            <span className="number">{share(probability)}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** A text with added words highlighted and missing words struck through. */
function WordDiff({ before, after }: { before: string; after: string }) {
  return (
    <>
      {diffWords(before, after).map(({ value, added, removed }, place) =>
        added ? <ins key={place}>{value}</ins> : removed ? <del key={place}>{value}</del> : value,
      )}
      <div className="small soft gap-top">{text.playground.diffLegend}</div>
    </>
  );
}

type AddExampleProps = { model: string; prompt: string; answer: string; onClose: () => void };

/** Adds a prompt and its right answer, which the user can edit first, to the data of the model or to the draft. */
function AddExample({ model, prompt, answer, onClose }: AddExampleProps) {
  const [, go] = useLocation();
  const [textInput, setInput] = useState(prompt);
  const [output, setOutput] = useState(answer);
  const id = model.startsWith("tunedModels/") ? idOf(model) : "";
  const name = useTunedModel(id).data?.displayName ?? id;
  const example = { textInput, output: output.trim() };
  const isComplete = textInput.trim() !== "" && example.output !== "";
  function addToModel() {
    const number = setAside(id, example);
    toast(text.playground.setAside(name, number), {
      action: { label: text.common.again, act: () => go(`/new?from=${id}`) },
    });
    onClose();
  }
  function addToNew() {
    addToDraft(example);
    toast(text.playground.added, { action: { label: text.playground.openDraft, act: () => go("/new") } });
    onClose();
  }
  return (
    <Window title={text.playground.asExample} isOpen onClose={onClose}>
      <p className="soft">{text.playground.asExampleHelp}</p>
      <TextInput label={text.playground.exampleInput} value={textInput} change={setInput} area={{ rows: 4 }} />
      <TextInput label={text.playground.exampleOutput} value={output} change={setOutput} area={{ rows: 3 }} />
      <div className="row end">
        <Button isDisabled={!isComplete} onPress={addToNew} className={`button${id ? "" : " primary"}`}>
          {text.playground.addToDraft}
        </Button>
        {id && (
          <Button className="button primary" isDisabled={!isComplete} onPress={addToModel}>
            {text.playground.addToModel}
          </Button>
        )}
      </div>
    </Window>
  );
}
