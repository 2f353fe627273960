import { Button, FileTrigger } from "react-aria-components";
import { Link } from "wouter";
import { ApiError, idOf, maySeeExamples, type Schemas, type TunedModel } from "../../api/client";
import { parseFile } from "../../api/examples";
import type { EvaluationReport } from "../../api/reports";
import { ending, percent, share } from "../../format";
import { Table } from "../Facts";
import { Reliability } from "./Reliability";
import { ReportCard } from "./ReportCard";
import { text } from "./text";

const FOLDS = 3;

/** Did tuning help, on held-out rows, by folds or on the rows of a file: one sentence, two answers and the figures. */
export function Verdict({ model }: { model: TunedModel }) {
  if (model.state !== "ACTIVE") return null;
  const { heldOutRows = 0, data } = model.tuningTask;
  const byFolds = heldOutRows === 0;
  const runningText = byFolds ? text.verdict.runningFolds : text.verdict.running;
  return (
    <ReportCard
      kind="evaluations"
      model={model}
      words={byFolds ? { ...text.verdict, ...text.verdict.folds } : text.verdict}
      how={byFolds ? { foldCount: FOLDS } : {}}
      other={(start) => <FileRows start={start} />}
      isOtherOnly={byFolds && data.rows < FOLDS}
      running={({ answeredPrompts = 0, totalPrompts }) =>
        runningText(percent(answeredPrompts, totalPrompts ?? 0), totalPrompts !== undefined)
      }
    >
      {(report) => <Found model={model} report={report} />}
    </ReportCard>
  );
}

function Found({ model, report }: { model: TunedModel; report: EvaluationReport }) {
  const { heldOutRows, data } = model.tuningTask;
  const isOfOther = report.servedEpoch !== undefined && report.servedEpoch !== model.servedEpoch;
  return (
    <>
      {report.verdict && (
        <p className={`note ${report.verdict.kind === "HELPED" ? "good" : "warn"}`}>{report.verdict.text}</p>
      )}
      {isOfOther && <p className="note warn small">{text.verdict.otherEpoch(report.servedEpoch, model.servedEpoch)}</p>}
      <ExampleAnswers report={report} />
      <Candidates report={report} />
      {report.confusion && <ConfusionTable confusion={report.confusion} />}
      {report.calibration && <Reliability model={model.name} calibration={report.calibration} />}
      {heldOutRows !== undefined && maySeeExamples(model) && (
        <div className="row spread">
          <span className="small soft">{text.verdict.allRowsHelp(heldOutRows)}</span>
          <Link className="button" href={`/new?from=${idOf(model.name)}&all=1`}>
            {text.verdict.allRows(data.rows)}
          </Link>
        </div>
      )}
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

const LONGEST = 160; // characters of an input

/** The answer where tuning helped most, and the one that is most wrong. */
function ExampleAnswers({ report: { bestRows, worstRows } }: { report: EvaluationReport }) {
  const shown = [...bestRows.slice(0, 1), ...worstRows.slice(0, 1)];
  if (shown.length === 0) return null;
  return (
    <div className="halves" role="group" aria-label={text.verdict.examples}>
      {shown.map(({ row, textInput, expected, answers }) => {
        const answer = answers.tuned ?? "";
        const isRight = answer.trim() === expected.trim();
        return (
          <dl key={row} className="example">
            <dt dir="auto">{ending(textInput, LONGEST)}</dt>
            <dd dir="auto">
              {text.verdict.answer(answer)}{" "}
              <span className={`badge ${isRight ? "good" : "warn"}`}>
                {isRight ? text.verdict.right : text.verdict.expected(expected)}
              </span>
            </dd>
          </dl>
        );
      })}
    </div>
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

const MOST_LABELS = 20;

/** How often rows of each label got each answer. */
function ConfusionTable({ confusion: { labels, counts } }: { confusion: Schemas["ConfusionOut"] }) {
  if (labels.length < 2 || labels.length > MOST_LABELS) return null;
  return (
    <details>
      <summary>{text.verdict.confusion}</summary>
      <div className="scroll gap-top">
        <table className="list small confusion">
          <caption className="help left">{text.verdict.confusionHelp}</caption>
          <thead>
            <tr>
              <td />
              {[...labels, text.verdict.anyOther].map((label) => (
                <th key={label} scope="col" className="number" dir="auto">
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {labels.map((label, row) => (
              <tr key={label}>
                <th scope="row" dir="auto">
                  {label}
                </th>
                {(counts[row] ?? []).map((number, column) => (
                  <td key={column} className={`number${number === 0 ? " soft" : row === column ? " right" : " wrong"}`}>
                    {number}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
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
