import type { Report } from "../../api/inquiries";
import { share } from "../../format";
import { text } from "../../text/en";

/** The ways to answer the rows, each with its score and the range in which it lies with 95 % confidence. */
export function Contenders({ report }: { report: Report }) {
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
