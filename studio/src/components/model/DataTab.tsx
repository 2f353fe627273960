import { Link } from "wouter";
import { useOffers } from "../../api/account";
import { idOf, type TunedModel } from "../../api/client";
import { useFirstExamples } from "../../api/examples";
import type { Finding } from "../../api/reports";
import { canMend } from "../../draftSource";
import { share } from "../../format";
import { ScrollRegion } from "../Facts";
import { ErrorNote, Skeleton } from "../Page";
import { InquiryCard } from "./ReportCard";
import { text } from "./text";

/** What is doubtful about a model's rows, what more would bring, and the first ones exactly as the base read them. */
export function DataTab({ model }: { model: TunedModel }) {
  return (
    <div className="stack">
      <Examination model={model} />
      <DataCurve model={model} />
      <Seen model={model} />
    </div>
  );
}

function Seen({ model }: { model: TunedModel }) {
  const query = useFirstExamples(idOf(model.name), true, true);
  return (
    <section className="card stack" aria-labelledby="seen">
      <div>
        <h2 id="seen">{text.model.seen}</h2>
        <p className="soft">{text.model.seenHelp}</p>
      </div>
      {query.isPending && <Skeleton />}
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      {query.data?.examples?.map(({ rendered = "", output }, place) => (
        <pre key={place}>
          {rendered.slice(0, rendered.lastIndexOf(output))}
          <mark>{rendered.slice(rendered.lastIndexOf(output))}</mark>
        </pre>
      ))}
    </section>
  );
}

const FOLDS = 5;

/** Which of a model's own examples are doubtful, and the way to tune again without what is surely wrong. */
function Examination({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const isOffered = useOffers("tunedModels.examine") && model.state === "ACTIVE";
  if (!isOffered) return null;
  return (
    <InquiryCard
      kind="examinations"
      id={id}
      words={text.examination}
      more={{ label: text.examination.tuneToo, how: { foldCount: FOLDS } }}
      running={({ examinedRows = 0, totalRows }) => text.examination.running(examinedRows, totalRows)}
    >
      {({ rows, counts, findings }) => (
        <>
          <p className={`note ${counts.length > 0 ? "warn" : "good"}`}>
            {text.examination.found(
              rows,
              counts.map(({ kind, findings: number }) => text.examination.kind(kind, number)),
            )}
          </p>
          {findings.length > 0 && <FindingTable findings={findings} />}
          {findings.some(canMend) && (
            <div>
              <Link className="button" href={`/new?from=${id}&mended=1`}>
                {text.examination.mend(findings.filter(canMend).length)}
              </Link>
            </div>
          )}
        </>
      )}
    </InquiryCard>
  );
}

const HIGHEST = 420;

/** The doubtful rows: what is doubtful, the row itself, and what a mended copy has instead. */
function FindingTable({ findings }: { findings: Finding[] }) {
  return (
    <ScrollRegion height={HIGHEST} label={text.examination.title}>
      <table className="list held-out">
        <thead>
          <tr>
            <th scope="col" className="row-number">
              {text.examination.row}
            </th>
            <th scope="col">{text.examination.why}</th>
            <th scope="col">{text.heldOut.input}</th>
            <th scope="col">{text.examination.output}</th>
          </tr>
        </thead>
        <tbody>
          {findings.map((finding, place) => (
            <tr key={place}>
              <td className="soft">{finding.row}</td>
              <td>{finding.message}</td>
              <td>
                <div className="clamp four">{finding.example.textInput}</div>
              </td>
              <td>
                <div className="clamp four">{finding.example.output}</div>
                {finding.isDropped && <div className="small soft">{text.examination.leftOut}</div>}
                {finding.newOutput !== undefined && (
                  <div className="small soft">{text.examination.becomes(finding.newOutput)}</div>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}

/** What more examples would bring: what short runs on parts of them measured, and what follows from it. */
function DataCurve({ model }: { model: TunedModel }) {
  const isOffered = useOffers("tunedModels.dataCurve") && model.state === "ACTIVE";
  if (!isOffered) return null;
  return (
    <InquiryCard
      kind="dataCurves"
      id={idOf(model.name)}
      words={text.dataCurve}
      running={({ tuning = 0, tunings }) => text.dataCurve.running(tuning, tunings)}
    >
      {({ advice, metric, measured, promises }) => (
        <>
          <p className="note">{advice}</p>
          <div className="scroll">
            <table className="list">
              <caption className="help left">{text.dataCurve.caption(metric.replaceAll("_", " "))}</caption>
              <thead>
                <tr>
                  <th scope="col">{text.dataCurve.rows}</th>
                  <th scope="col" className="number">
                    {text.dataCurve.score}
                  </th>
                </tr>
              </thead>
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
            </table>
          </div>
        </>
      )}
    </InquiryCard>
  );
}
