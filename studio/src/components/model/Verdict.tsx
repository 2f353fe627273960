import type { TunedModel } from "../../api/client";
import type { Report } from "../../api/inquiries";
import { idOf } from "../../api/models";
import { useOffers } from "../../api/server";
import { text } from "../../text/en";
import { Contenders } from "./Contenders";
import { InquiryCard } from "./InquiryCard";
import { OtherRows } from "./OtherRows";

/** Whether tuning helped, on held-out rows or those of a file: the sentence, and the figures behind it. */
export function Verdict({ model, hasHeldOut }: { model: TunedModel; hasHeldOut: boolean }) {
  const isOffered = useOffers("tunedModels.evaluate") && model.state === "ACTIVE";
  if (!isOffered) return null;
  return (
    <InquiryCard
      kind="evaluations"
      id={idOf(model.name)}
      words={hasHeldOut ? text.verdict : { ...text.verdict, help: text.verdict.helpWithout }}
      other={(ask) => <OtherRows ask={ask} />}
      isBare={!hasHeldOut}
      running={({ answeredPrompts = 0, totalPrompts }) => text.verdict.running(answeredPrompts, totalPrompts)}
    >
      {(report) => <Found report={report} />}
    </InquiryCard>
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
