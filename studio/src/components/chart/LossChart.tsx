import {
  CartesianGrid,
  Line,
  LineChart,
  ReferenceArea,
  ReferenceLine,
  ResponsiveContainer,
  Tooltip,
  XAxis,
  YAxis,
} from "recharts";
import type { Schemas, Snapshot } from "../../api/client";
import { loss } from "../../format";
import { text } from "../model/text";
import { points, smoothed, thinned } from "./curve";

type Props = {
  snapshots: Snapshot[];
  epochLosses: Schemas["EpochLossOut"][];
  batchSize: number;
  examples: number;
  epochCount: number;
  curve?: Schemas["CurveFactsOut"];
  servedEpoch?: number;
  readEpoch?: number;
  isLog: boolean;
  isSteps: boolean;
  isSmooth: boolean;
};

const MARGIN = 1.015; // room for the mark of the last epoch
const MAX_TICKS = 10;
const SOFT = "var(--text-soft)";

/** Mean loss of each step, each epoch and the held-out rows; the axis always spans the whole job. */
export default function LossChart(props: Props) {
  const { snapshots, epochLosses, batchSize, examples, epochCount, curve, servedEpoch, readEpoch } = props;
  const perEpoch = props.isSteps ? examples / batchSize : 1; // units of the axis in an epoch
  const all = points(snapshots, batchSize, examples);
  const steps = thinned(props.isSmooth ? smoothed(all) : all).map((point) => ({
    x: props.isSteps ? point.step : point.epoch,
    loss: point.loss,
  }));
  const means = epochLosses.map(({ epoch, meanLoss }) => ({ x: epoch * perEpoch, mean: Number(meanLoss) }));
  const heldOut = epochLosses
    .filter((entry) => entry.heldOutLoss !== undefined)
    .map((entry) => ({ x: entry.epoch * perEpoch, heldOut: Number(entry.heldOutLoss) }));
  const flat = curve?.flatAfter;
  const marked = servedEpoch ?? curve?.bestEpoch;
  const end = epochCount * perEpoch;
  return (
    <div className="chart">
      <ResponsiveContainer width="100%" height="100%">
        <LineChart accessibilityLayer={false} margin={{ top: 20, right: 16, bottom: 24, left: 8 }}>
          <CartesianGrid stroke="var(--line-soft)" vertical={false} />
          <XAxis
            dataKey="x"
            type="number"
            domain={[0, end * MARGIN]}
            allowDataOverflow
            ticks={ticks(epochCount).map((epoch) => Math.round(epoch * perEpoch))}
            stroke={SOFT}
            label={{
              value: props.isSteps ? text.chart.steps : text.chart.epochs,
              position: "bottom",
              fill: SOFT,
            }}
          />
          <YAxis
            scale={props.isLog ? "log" : "linear"}
            domain={props.isLog ? ["auto", "auto"] : [0, "auto"]}
            tickFormatter={(value: number) => loss(value)}
            stroke={SOFT}
            width={56}
            label={{ value: text.chart.loss, angle: -90, position: "insideLeft", fill: SOFT }}
          />
          <Tooltip
            isAnimationActive={false}
            formatter={(value) => loss(Number(value))}
            labelFormatter={(value) =>
              `${props.isSteps ? text.chart.step : text.chart.epochs} ${Number(value).toFixed(props.isSteps ? 0 : 2)}`
            }
            contentStyle={{
              background: "var(--surface-raised)",
              borderColor: "var(--line)",
              color: "var(--text)",
            }}
          />
          {flat !== undefined && (
            <ReferenceArea
              x1={flat * perEpoch}
              x2={end}
              fill="var(--line-soft)"
              fillOpacity={0.7}
              label={{ value: text.chart.flat, position: "insideTop", fill: SOFT, fontSize: 12 }}
            />
          )}
          {marked !== undefined && (
            <ReferenceLine
              x={marked * perEpoch}
              stroke="var(--good)"
              strokeDasharray="3 3"
              label={{
                value: servedEpoch === undefined ? text.chart.best : text.chart.served,
                position: marked > epochCount / 2 ? "insideTopRight" : "insideTopLeft",
                fill: "var(--good)",
                fontSize: 12,
              }}
            />
          )}
          {readEpoch !== undefined && <ReferenceLine x={readEpoch * perEpoch} stroke="var(--accent)" strokeWidth={2} />}
          <Line
            name={text.chart.stepLoss}
            data={steps}
            dataKey="loss"
            stroke="var(--field-line)"
            strokeWidth={1}
            dot={false}
            isAnimationActive={false}
          />
          <Line
            name={text.chart.epochLoss}
            data={means}
            dataKey="mean"
            stroke="var(--accent)"
            strokeWidth={2.5}
            dot={{ r: 4, fill: "var(--accent)" }}
            isAnimationActive={false}
          />
          {heldOut.length > 0 && (
            <Line
              name={text.chart.heldOutLoss}
              data={heldOut}
              dataKey="heldOut"
              stroke="var(--good)"
              strokeWidth={2.5}
              strokeDasharray="6 4"
              dot={<Square />}
              isAnimationActive={false}
            />
          )}
        </LineChart>
      </ResponsiveContainer>
    </div>
  );
}

/** The mark of held-out losses: a different shape, so that it can be told apart without colours. */
function Square({ cx = 0, cy = 0 }: { cx?: number; cy?: number }) {
  return <rect x={cx - 4} y={cy - 4} width={8} height={8} fill="var(--good)" />;
}

function ticks(epochCount: number): number[] {
  const step = Math.ceil(epochCount / MAX_TICKS);
  return Array.from({ length: Math.floor(epochCount / step) + 1 }, (_, place) => place * step);
}
