import { Link } from "wouter";
import { canEdit, idOf, maySeeExamples, type TunedModel } from "../../api/client";
import { useFirstExamples } from "../../api/examples";
import type { Finding } from "../../api/reports";
import { share } from "../../format";
import { ScrollRegion, Table } from "../Facts";
import { QueryState } from "../Page";
import { ReportCard } from "./ReportCard";
import { text } from "./text";

/** Rows to check, how much more examples would help, and the first examples as the base model read them. */
export function DataTab({ model }: { model: TunedModel }) {
  return (
    <div className="stack">
      <DataCheck model={model} />
      <DataCurve model={model} />
      <Seen model={model} />
    </div>
  );
}

function Seen({ model }: { model: TunedModel }) {
  const maySee = maySeeExamples(model);
  const query = useFirstExamples(idOf(model.name), maySee, true);
  return (
    <section className="card stack" aria-labelledby="seen">
      <div>
        <h2 id="seen">{text.model.seen}</h2>
        <p className="soft">{maySee ? text.model.seenHelp : text.sharing.examplesHidden}</p>
      </div>
      {maySee && <QueryState query={query} />}
      {query.data?.examples?.map(({ rendered = "", output }, place) => (
        <pre key={place} dir="auto">
          {rendered.slice(0, rendered.lastIndexOf(output))}
          <mark>{rendered.slice(rendered.lastIndexOf(output))}</mark>
        </pre>
      ))}
    </section>
  );
}

const FOLDS = 5;

/** The examples of a model that may be wrong, and a button to tune again without the certain errors. */
function DataCheck({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  if (model.state !== "ACTIVE") return null;
  return (
    <ReportCard
      kind="examinations"
      model={model}
      words={text.dataCheck}
      more={{ label: text.dataCheck.tuneToo, how: { foldCount: FOLDS } }}
      running={({ examinedRows = 0, totalRows }) => text.dataCheck.running(examinedRows, totalRows)}
    >
      {({ rows, counts, findings, fixedRows }) => (
        <>
          <p className={`note ${counts.length > 0 ? "warn" : "good"}`}>
            {text.dataCheck.found(
              rows,
              counts.map(({ kind, findings: number }) => text.dataCheck.kind(kind, number)),
            )}
          </p>
          {findings.length > 0 && <FindingTable findings={findings} />}
          {canEdit(model) && fixedRows > 0 && (
            <div>
              <Link className="button" href={`/new?from=${id}&fixed=1`}>
                {findings.every(({ newOutput }) => newOutput === undefined)
                  ? text.dataCheck.without(fixedRows)
                  : text.dataCheck.fixed(fixedRows)}
              </Link>
            </div>
          )}
        </>
      )}
    </ReportCard>
  );
}

const MAX_PX = 420;

/** The flagged rows: the problem, the row, and what the fix does to it. */
function FindingTable({ findings }: { findings: Finding[] }) {
  return (
    <ScrollRegion height={MAX_PX} label={text.dataCheck.table}>
      <Table
        className="held-out"
        heads={[
          [text.dataCheck.row, "row-number"],
          [text.dataCheck.why],
          [text.heldOut.input],
          [text.dataCheck.output],
        ]}
      >
        <tbody>
          {findings.map((finding, place) => (
            <tr key={place}>
              <td className="soft">{finding.row}</td>
              <td className="sentence">{finding.message}</td>
              <td>
                <div dir="auto" className="clamp four">
                  {finding.example.textInput}
                </div>
              </td>
              <td>
                <div dir="auto" className="clamp four">
                  {finding.example.output}
                </div>
                {finding.isDropped && <div className="small soft">{text.dataCheck.leftOut}</div>}
                {finding.newOutput !== undefined && (
                  <div className="small soft">{text.dataCheck.becomes(finding.newOutput)}</div>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </ScrollRegion>
  );
}

/** Would more examples help: the scores of short runs on parts of the data, and the trend. */
function DataCurve({ model }: { model: TunedModel }) {
  if (model.state !== "ACTIVE") return null;
  return (
    <ReportCard
      kind="dataCurves"
      model={model}
      words={text.dataCurve}
      running={({ tuning = 0, tunings }) => text.dataCurve.running(tuning, tunings)}
    >
      {({ advice, metric, measured, promises }) => (
        <>
          <p className="note">{advice}</p>
          <div className="scroll">
            <Table
              caption={text.dataCurve.caption(metric.replaceAll("_", " "))}
              heads={[[text.dataCurve.rows], [text.dataCurve.score, "number"]]}
            >
              <tbody>
                {measured.map(({ rows, score, tested }, place) => (
                  <tr key={place}>
                    <td>{text.dataCurve.measured(rows, tested)}</td>
                    <td className="number">{share(score)}</td>
                  </tr>
                ))}
                {promises.map((promise, place) => (
                  <tr key={place}>
                    <td>{promise.text}</td>
                    <td className="number soft">{share(promise.score)}</td>
                  </tr>
                ))}
              </tbody>
            </Table>
          </div>
        </>
      )}
    </ReportCard>
  );
}
