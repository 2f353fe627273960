import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import { addToDraft } from "../../hooks/useDraft";
import type { Answer } from "../../hooks/useAnswer";
import { text } from "../../text/en";
import { toast } from "../../toasts";
import { CopyButton } from "../CopyButton";
import { ErrorNote } from "../ErrorNote";
import { AnswerRemarks } from "./AnswerRemarks";
import { WordDiff } from "./WordDiff";

type Props = { name: string; model: string; prompt: string; answer: Answer; against?: string };

/** What one model answers, with what it took; on wish marked where it differs from another answer. */
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
  return usage?.finishReason === "MAX_TOKENS" ? text.playground.cut : text.playground.finished;
}
