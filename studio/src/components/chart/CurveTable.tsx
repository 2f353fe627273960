import type { Schemas } from "../../api/client";
import type { EpochPoint } from "../../curve";
import { loss } from "../../format";
import { text } from "../../text/en";
import { ScrollRegion } from "../ScrollRegion";

type Props = { epochs: EpochPoint[]; epochLosses: Schemas["EpochLossOut"][] };

/** The same losses as rows: one for each pass over the examples. */
export function CurveTable({ epochs, epochLosses }: Props) {
  return (
    <ScrollRegion height={300} label={text.chart.table}>
      <table className="list">
        <thead>
          <tr>
            <th scope="col">{text.chart.epoch}</th>
            <th scope="col" className="number">
              {text.chart.epochLoss}
            </th>
            <th scope="col" className="number">
              {text.chart.heldOutLoss}
            </th>
          </tr>
        </thead>
        <tbody>
          {epochs.map(({ epoch, loss: mean }) => (
            <tr key={epoch}>
              <td>{epoch}</td>
              <td className="number">{loss(mean)}</td>
              <td className="number">
                {loss(epochLosses.find((entry) => entry.epoch === epoch)?.heldOutLoss)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}
