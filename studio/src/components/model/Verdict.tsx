import { Button, FileTrigger } from "react-aria-components";
import { ApiError, type Schemas, type TunedModel } from "../../api/client";
import { parseFile } from "../../api/examples";
import type { EvaluationReport } from "../../api/reports";
import { share } from "../../format";
import { Table } from "../Facts";
import { ReportCard } from "./ReportCard";
import { text } from "./text";

/** Did tuning help, on held-out rows or on those of a file: one sentence and the figures behind it. */
export function Verdict({ model, hasHeldOut }: { model: TunedModel; hasHeldOut: boolean }) {
  if (model.state !== "ACTIVE") return null;
  return (
    <ReportCard
      kind="evaluations"
      model={model}
      words={hasHeldOut ? text.verdict : { ...text.verdict, help: text.verdict.helpWithout }}
      other={(start) => <FileRows start={start} />}
      isOtherOnly={!hasHeldOut}
      running={({ answeredPrompts = 0, totalPrompts }) => text.verdict.running(answeredPrompts, totalPrompts)}
    >
      {(report) => <Found report={report} />}
    </ReportCard>
  );
}

function Found({ report }: { report: EvaluationReport }) {
  return (
    <>
      {report.verdict && (
        <p className={`note ${report.verdict.kind === "HELPED" ? "good" : "warn"}`}>{report.verdict.text}</p>
      )}
      <Candidates report={report} />
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

/** The methods that were compared, each with its score and its 95 % range. */
function Candidates({ report }: { report: EvaluationReport }) {
  return (
    <div className="scroll">
      <Table
        caption={text.verdict.caption(report.rows, report.source, report.metric.replaceAll("_", " "))}
        heads={[[text.verdict.candidate], [text.verdict.score, "number"], [text.verdict.range, "number"]]}
      >
        <tbody>
          {report.contenders.map(({ name, title, figures }) => {
            const [figure] = figures;
            return (
              <tr key={name}>
                <td className="sentence">{title}</td>
                <td className="number">{figure ? share(figure.value) : "–"}</td>
                <td className="number soft">
                  {figure && `${share(figure.interval.low)} – ${share(figure.interval.high)}`}
                </td>
              </tr>
            );
          })}
        </tbody>
      </Table>
    </div>
  );
}

/** Evaluates on the rows of a file; one from `tunery rescue` adds the old model's answers. */
function FileRows({ start }: { start: (how: Promise<object>) => void }) {
  return (
    <FileTrigger onSelect={(files) => files?.[0] && start(evaluationOf(files[0]))}>
      <Button>{text.verdict.otherRows}</Button>
    </FileTrigger>
  );
}

/** The request to evaluate on a file; throws ApiError with the first problem of the file. */
async function evaluationOf(file: File): Promise<Schemas["EvaluateIn"]> {
  const { examples = [], problems, recorded } = await parseFile(file, {});
  const wrong = problems.find(({ level }) => level === "error");
  if (wrong) throw new ApiError(text.verdict.wrongFile(file.name, wrong), 400, "INVALID_ARGUMENT");
  return {
    source: file.name,
    examples: { examples: examples.map(({ textInput, output }) => ({ textInput, output })) },
    ...(recorded && { recorded }),
  };
}
