import { Button } from "react-aria-components";
import { useMe } from "../../api/account";
import type { TunedModel } from "../../api/client";
import { useEvaluate, useEvaluation, type Report } from "../../api/evaluations";
import { idOf } from "../../api/models";
import { useOffers } from "../../api/server";
import { roleOf, usePermissions } from "../../api/sharing";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";
import { Contenders } from "./Contenders";

/** Whether tuning helped: the sentence, and the figures behind it; for writers the button that finds it out. */
export function Verdict({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const isOffered = useOffers("tunedModels.evaluate") && model.state === "ACTIVE";
  const query = useEvaluation(id, isOffered);
  const evaluate = useEvaluate(id);
  const role = roleOf(usePermissions(id).data ?? [], useMe().data?.user);
  if (!isOffered || query.isPending) return null;
  const { state, report, error, answeredPrompts = 0, totalPrompts } = query.data ?? {};
  const isRunning = state === "RUNNING";
  return (
    <section className="card stack" aria-labelledby="verdict">
      <div className="row spread">
        <h2 id="verdict">{text.verdict.title}</h2>
        {!isRunning && role !== undefined && role !== "READER" && (
          <Button isDisabled={evaluate.isPending} onPress={() => evaluate.mutate()}>
            {report ? text.verdict.again : text.verdict.evaluate}
          </Button>
        )}
      </div>
      {evaluate.isError && <ErrorNote error={evaluate.error} />}
      {error && <p className="note bad">{error.message}</p>}
      {isRunning && <p role="status">{text.verdict.running(answeredPrompts, totalPrompts)}</p>}
      {!report && !isRunning && <p className="soft">{text.verdict.help}</p>}
      {report && <Found report={report} />}
    </section>
  );
}

function Found({ report }: { report: Report }) {
  return (
    <>
      {report.verdict && (
        <p className={`note ${report.verdict.kind === "HELPED" ? "good" : "warn"}`}>{report.verdict.text}</p>
      )}
      <Contenders report={report} />
      {report.worstRows.length > 0 && (
        <details>
          <summary>{text.verdict.worst}</summary>
          <dl className="example gap-top">
            {report.worstRows.map(({ row, textInput, expected, answers }) => (
              <div key={row}>
                <dt>
                  {text.verdict.row(row)} · {textInput.slice(-120)}
                </dt>
                <dd>{text.verdict.instead(expected, answers.tuned ?? Object.values(answers)[0] ?? "")}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </>
  );
}
