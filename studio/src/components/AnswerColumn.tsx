import { Button } from "react-aria-components";
import { text } from "../text/en";
import type { useAnswer } from "../useAnswer";
import { ErrorNote } from "./ErrorNote";

/** What one model answers, with what it took. */
export function AnswerColumn({ name, answer }: { name: string; answer: ReturnType<typeof useAnswer> }) {
  const { usage, isRunning } = answer;
  const isEmpty = !isRunning && usage !== undefined && answer.answer === "";
  return (
    <section className="stack" aria-label={`${text.playground.answer} ${name}`}>
      <h2 className="mono" style={{ margin: 0 }}>
        {name}
      </h2>
      {answer.error !== undefined ? (
        <ErrorNote error={answer.error} />
      ) : (
        <output className="answer" aria-busy={isRunning}>
          {answer.answer || (
            <span className="soft">
              {isRunning
                ? text.playground.loading
                : isEmpty
                  ? text.playground.empty
                  : text.playground.waiting}
            </span>
          )}
        </output>
      )}
      {usage && (
        <div className="row small soft">
          <span>{text.playground.tokens(usage.input, usage.output)}</span>
          <span>{usage.seconds.toFixed(1)} s</span>
          {usage.finishReason === "MAX_TOKENS" && <span>{text.playground.cut}</span>}
          <Button className="button quiet" onPress={() => void navigator.clipboard.writeText(answer.answer)}>
            {text.playground.copy}
          </Button>
        </div>
      )}
    </section>
  );
}
