import type { TunedModel } from "../../api/client";
import { idOf } from "../../api/models";
import { useOffers } from "../../api/server";
import { share } from "../../format";
import { text } from "../../text/en";
import { InquiryCard } from "./InquiryCard";

/** What more examples would bring: what short runs on parts of them measured, and what follows from it. */
export function DataCurve({ model }: { model: TunedModel }) {
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
