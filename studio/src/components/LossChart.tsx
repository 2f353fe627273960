import {
  CartesianGrid,
  Line,
  LineChart,
  ReferenceLine,
  ResponsiveContainer,
  Tooltip,
  XAxis,
  YAxis,
} from "recharts";
import type { Schemas, Snapshot } from "../api/client";
import { epochMeans, points, thinned } from "../curve";
import { loss } from "../format";
import { text } from "../text/en";

type Props = {
  snapshots: Snapshot[];
  epochLosses: Schemas["EpochLossOut"][];
  batchSize: number;
  examples: number;
  epochCount: number;
  isLog: boolean;
};

/** Mean loss of each step, of each epoch, and of the held-out rows, over epochs; the whole run is always visible. */
export default function LossChart({ snapshots, epochLosses, batchSize, examples, epochCount, isLog }: Props) {
  const steps = thinned(points(snapshots, batchSize, examples));
  const epochs = epochMeans(snapshots, batchSize, examples, epochCount).map(({ epoch, loss: value }) => ({
    epoch,
    value,
  }));
  const heldOut = epochLosses.filter((entry) => entry.heldOutLoss !== undefined);
  const best = heldOut.length > 1 ? heldOut.reduce((a, b) => (number(b) < number(a) ? b : a)) : undefined;
  return (
    <div className="chart" aria-hidden="true">
      <ResponsiveContainer width="100%" height="100%">
        <LineChart margin={{ top: 8, right: 16, bottom: 24, left: 8 }}>
          <CartesianGrid stroke="var(--line-soft)" vertical={false} />
          <XAxis
            dataKey="epoch"
            type="number"
            domain={[0, epochCount]}
            allowDataOverflow
            tickCount={Math.min(epochCount, 10) + 1}
            stroke="var(--text-soft)"
            label={{ value: text.create.epochs, position: "bottom", fill: "var(--text-soft)" }}
          />
          <YAxis
            scale={isLog ? "log" : "linear"}
            domain={isLog ? ["auto", "auto"] : [0, "auto"]}
            tickFormatter={(value: number) => loss(value)}
            stroke="var(--text-soft)"
            width={56}
            label={{ value: text.model.loss, angle: -90, position: "insideLeft", fill: "var(--text-soft)" }}
          />
          <Tooltip
            formatter={(value) => loss(Number(value))}
            labelFormatter={(value) => `${text.create.epochs} ${Number(value).toFixed(2)}`}
            contentStyle={{
              background: "var(--surface-raised)",
              borderColor: "var(--line)",
              color: "var(--text)",
            }}
          />
          {best && (
            <ReferenceLine x={best.epoch} stroke="var(--good)" strokeDasharray="3 3" label="best epoch" />
          )}
          <Line
            name={text.model.meanLoss}
            data={steps}
            dataKey="loss"
            stroke="var(--field-line)"
            strokeWidth={1}
            dot={false}
            isAnimationActive={false}
          />
          <Line
            name={text.model.epochLoss}
            data={epochs}
            dataKey="value"
            stroke="var(--accent)"
            strokeWidth={2.5}
            dot={{ r: 4, fill: "var(--accent)" }}
            isAnimationActive={false}
          />
          {heldOut.length > 0 && (
            <Line
              name={text.model.heldOutLoss}
              data={heldOut.map((entry) => ({ epoch: entry.epoch, heldOut: number(entry) }))}
              dataKey="heldOut"
              stroke="var(--good)"
              strokeWidth={2.5}
              strokeDasharray="6 4"
              dot={{ r: 4, fill: "var(--good)" }}
              isAnimationActive={false}
            />
          )}
        </LineChart>
      </ResponsiveContainer>
    </div>
  );
}

const number = (entry: Schemas["EpochLossOut"]) => Number(entry.heldOutLoss);
