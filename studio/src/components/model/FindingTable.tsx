import type { Finding } from "../../api/inquiries";
import { text } from "../../text/en";
import { ScrollRegion } from "../ScrollRegion";

const HIGHEST = 420;

/** The doubtful rows: what is doubtful, the row itself, and what a mended copy has instead. */
export function FindingTable({ findings }: { findings: Finding[] }) {
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
