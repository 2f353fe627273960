import { Button, FileTrigger } from "react-aria-components";
import { useOffers } from "../../api/account";
import { ApiError, idOf, type Schemas, type TunedModel } from "../../api/client";
import { parseFile } from "../../api/examples";
import type { Report } from "../../api/reports";
import { share } from "../../format";
import { InquiryCard } from "./ReportCard";
import { text } from "./text";

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

/** The ways to answer the rows, each with its score and the range in which it lies with 95 % confidence. */
function Contenders({ report }: { report: Report }) {
  return (
    <div className="scroll">
      <table className="list">
        <caption className="help left">
          {text.verdict.caption(report.rows, report.source, report.metric.replaceAll("_", " "))}
        </caption>
        <thead>
          <tr>
            <th scope="col">{text.verdict.contender}</th>
            <th scope="col" className="number">
              {text.verdict.score}
            </th>
            <th scope="col" className="number">
              {text.verdict.range}
            </th>
          </tr>
        </thead>
        <tbody>
          {report.contenders.map(({ name, title, figures }) => {
            const [figure] = figures;
            return (
              <tr key={name}>
                <td>{title}</td>
                <td className="number">{figure ? share(figure.value) : "–"}</td>
                <td className="number soft">
                  {figure && `${share(figure.interval.low)} – ${share(figure.interval.high)}`}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** The way to evaluate on the rows of a file, beside an old model if `tunery rescue` wrote it. */
function OtherRows({ ask }: { ask: (how: Promise<object>) => void }) {
  return (
    <FileTrigger onSelect={(files) => files?.[0] && ask(evaluationOf(files[0]))}>
      <Button>{text.verdict.otherRows}</Button>
    </FileTrigger>
  );
}

type Recorded = { title: string; answers: string[] };
type Line = { output: string; answer: string; model: string };

/** What to ask for a file as the server reads it; throws ApiError with the first thing that is wrong with it. */
async function evaluationOf(file: File): Promise<Schemas["EvaluateIn"]> {
  const { examples = [], problems } = await parseFile(file, {});
  const wrong = problems.find(({ level }) => level === "error");
  if (wrong) throw new ApiError(text.verdict.wrongFile(file.name, wrong), 400, "INVALID_ARGUMENT");
  const recorded = recordedIn(await file.text());
  return {
    source: file.name,
    examples: { examples: examples.map(({ textInput, output }) => ({ textInput, output })) },
    ...(recorded && { recorded }),
  };
}

/** The answers that `tunery rescue` wrote beside rows and model, a line of JSON each; undefined in any other file. */
export function recordedIn(content: string): Recorded | undefined {
  const lines = content.split("\n").filter((line) => line.trim() !== "");
  try {
    const written = lines.map((line) => JSON.parse(line) as Line);
    const [first] = written;
    if (!first || !written.every(isRecorded)) return undefined;
    return { title: first.model, answers: written.map(({ answer }) => answer) };
  } catch {
    return undefined; // not of lines of JSON
  }
}

const isRecorded = (line: Partial<Line>) =>
  [line.output, line.answer, line.model].every((text) => typeof text === "string");
