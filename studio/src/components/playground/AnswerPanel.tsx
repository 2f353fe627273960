import { diffWords } from "diff";
import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import type { Answer, Remarks } from "../../api/answers";
import { share } from "../../format";
import { addToDraft } from "../../useDraft";
import { CopyButton } from "../Code";
import { ErrorNote } from "../Page";
import { toast } from "../toasts";
import { text } from "./text";

type Props = { name: string; model: string; prompt: string; answer: Answer; against?: string };

/** The answer of one model with its tokens and time, optionally as a diff against another answer. */
export function AnswerPanel({ name, model, prompt, answer, against }: Props) {
  const [, go] = useLocation();
  const { usage, isRunning } = answer;
  function keep() {
    addToDraft({ textInput: prompt, output: answer.answer.trim() });
    toast(text.playground.added, { action: { label: text.playground.openDraft, act: () => go("/new") } });
  }
  return (
    <section className="card stack tight answer-panel" aria-label={text.playground.answerOf(name)}>
      <div>
        <h2>{name}</h2>
        <div className="small soft mono">{model}</div>
      </div>
      {answer.error !== undefined ? (
        <ErrorNote error={answer.error} />
      ) : (
        <div className="answer" aria-busy={isRunning} aria-live={isRunning ? "off" : "polite"}>
          {answer.answer ? (
            against ? (
              <WordDiff before={against} after={answer.answer} />
            ) : (
              answer.answer
            )
          ) : (
            <span className="soft">{placeholder(answer)}</span>
          )}
        </div>
      )}
      {usage && (
        <div className="small soft">
          {text.playground.tokens(usage.input, usage.output)} · {usage.seconds.toFixed(1)} s
          {!isRunning && ` · ${finish(answer)}`}
        </div>
      )}
      {!isRunning && <AnswerRemarks remarks={answer.remarks} />}
      {answer.answer && !isRunning && (
        <div className="row small-gap">
          <CopyButton content={answer.answer} />
          <Button className="button quiet" onPress={keep}>
            {text.playground.asExample}
          </Button>
        </div>
      )}
    </section>
  );
}

function placeholder({ isRunning, usage, wasStopped }: Answer) {
  if (isRunning) return text.playground.loading;
  if (wasStopped) return text.playground.stopped;
  return usage ? text.playground.empty : text.playground.waiting;
}

function finish({ usage, wasStopped }: Answer) {
  if (wasStopped) return text.playground.stopped;
  return usage?.finishReason === "MAX_TOKENS" ? text.playground.cut(usage.output) : text.playground.finished;
}

const SHOWN = 5;

/** The server's remarks: how the prompt differs from the examples, and the probability of each label. */
function AnswerRemarks({ remarks: { promptContract, labelProbabilities } }: { remarks: Remarks }) {
  const differences = promptContract?.differences ?? [];
  const labels = Object.entries(labelProbabilities ?? {}).slice(0, SHOWN);
  return (
    <>
      {promptContract?.wrapped && <p className="small soft">{text.playground.wrapped}</p>}
      {differences.length > 0 && (
        <p className="note warn small" role="status">
          {text.playground.unlike(differences.map((difference) => difference.text))}
        </p>
      )}
      {labels.length > 0 && (
        <dl className="facts small" aria-label={text.playground.probabilities}>
          {labels.map(([label, probability]) => (
            <div key={label} className="fact">
              <dt>{label}</dt>
              <dd>{share(probability)}</dd>
            </div>
          ))}
        </dl>
      )}
    </>
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
