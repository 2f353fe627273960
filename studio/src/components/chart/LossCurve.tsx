import { type KeyboardEvent, lazy, type ReactNode, Suspense, useRef, useState } from "react";
import type { Schemas, Snapshot } from "../../api/client";
import { loss } from "../../format";
import { csv, download } from "../../transfer";
import { ScrollRegion } from "../Facts";
import { text } from "../model/text";
import { epochMeans, type EpochPoint, points } from "./curve";

const LossChart = lazy(() => import("./LossChart"));

type LossCurveProps = {
  name: string;
  task: Schemas["TuningTaskOut"];
  snapshots: Snapshot[];
  epochLosses: Schemas["EpochLossOut"][];
  advice?: Schemas["AdviceOut"];
};

type View = { isTable: boolean; isLog: boolean; isSteps: boolean; isSmooth: boolean };

/** The loss curve as a picture with its summary, or as the table behind it; both can be saved. */
export function LossCurve({ name, task, snapshots, epochLosses, advice }: LossCurveProps) {
  const [view, setView] = useState<View>({ isTable: false, isLog: false, isSteps: false, isSmooth: false });
  const [readEpoch, setReadEpoch] = useState<number>();
  const picture = useRef<HTMLDivElement>(null);
  const { batchSize, epochCount } = task.hyperparameters;
  const examples = task.data.rows - (task.heldOutRows ?? 0);
  if (snapshots.length === 0) return <p className="soft">{text.chart.none}</p>;
  const epochs = epochMeans(snapshots, batchSize, examples, epochCount);
  const knee = advice?.kind === "flat" ? advice.epochCount : undefined;
  const toggle = (part: keyof View) => setView({ ...view, [part]: !view[part] });
  const whole = epochs.filter(({ epoch, end }) => end > epoch - 1e-6);
  return (
    <div className="stack">
      <p className="soft">
        {whole.length > 0
          ? text.chart.summary(loss(whole[0]?.loss), loss(whole.at(-1)?.loss), whole.length, knee)
          : text.chart.now(loss(snapshots.at(-1)?.meanLoss), snapshots.length)}
      </p>
      {view.isTable ? (
        <CurveTable epochs={epochs} epochLosses={epochLosses} />
      ) : (
        <CurveReader epochs={epochs} epochLosses={epochLosses} epoch={readEpoch} read={setReadEpoch}>
          <div ref={picture}>
            <Suspense fallback={<div className="chart" />}>
              <LossChart
                {...{ snapshots, epochs, epochLosses, batchSize, examples, epochCount, knee, readEpoch }}
                isLog={view.isLog}
                isSteps={view.isSteps}
                isSmooth={view.isSmooth}
              />
            </Suspense>
          </div>
        </CurveReader>
      )}
      <Legend hasHeldOut={epochLosses.some((entry) => entry.heldOutLoss !== undefined)} />
      <div className="row small-gap" role="group" aria-label={text.chart.view}>
        <Chip label={text.chart.table} isOn={view.isTable} toggle={() => toggle("isTable")} />
        <Chip label={text.chart.steps} isOn={view.isSteps} toggle={() => toggle("isSteps")} isOff={view.isTable} />
        <Chip label={text.chart.log} isOn={view.isLog} toggle={() => toggle("isLog")} isOff={view.isTable} />
        <Chip label={text.chart.smooth} isOn={view.isSmooth} toggle={() => toggle("isSmooth")} isOff={view.isTable} />
        <button type="button" className="chip" onClick={() => saveCsv(name, points(snapshots, batchSize, examples))}>
          {text.chart.csv}
        </button>
        <button type="button" className="chip" disabled={view.isTable} onClick={() => saveSvg(name, picture.current)}>
          {text.chart.svg}
        </button>
      </div>
    </div>
  );
}

function Chip({ label, isOn, toggle, isOff }: { label: string; isOn: boolean; toggle: () => void; isOff?: boolean }) {
  return (
    <button type="button" className="chip" aria-pressed={isOn} onClick={toggle} disabled={isOff}>
      {label}
    </button>
  );
}

function saveCsv(name: string, all: ReturnType<typeof points>) {
  const rows = all.map(({ step, epoch, loss: value }) => [step, epoch.toFixed(4), value]);
  download(`${name}-loss.csv`, csv([["step", "epochs", "mean_loss"], ...rows]), "text/csv");
}

/** The picture as it is seen, with the colours of the theme written into it. */
function saveSvg(name: string, frame: HTMLElement | null) {
  const svg = frame?.querySelector("svg.recharts-surface");
  if (!frame || !svg) return;
  const style = getComputedStyle(document.documentElement);
  const drawn = new XMLSerializer()
    .serializeToString(svg)
    .replace(/var\((--[\w-]+)\)/g, (_, variable: string) => style.getPropertyValue(variable).trim());
  download(`${name}-loss.svg`, drawn, "image/svg+xml");
}

type CurveReaderProps = {
  epochs: EpochPoint[];
  epochLosses: Schemas["EpochLossOut"][];
  epoch?: number; // the one that is read now
  read: (epoch: number | undefined) => void;
  children: ReactNode; // the picture
};

/** Lets arrow keys read the curve, epoch by epoch; the picture marks where. */
function CurveReader({ epochs, epochLosses, epoch, read, children }: CurveReaderProps) {
  const last = epochs.length;
  const now = epoch ?? last;
  const heldOut = epochLosses.find((entry) => entry.epoch === now)?.heldOutLoss;
  const said = text.chart.point(now, loss(epochs[now - 1]?.loss), heldOut === undefined ? undefined : loss(heldOut));
  function onKeyDown(event: KeyboardEvent) {
    const steps: Record<string, number> = {
      ArrowRight: now + (epoch === undefined ? 0 : 1),
      ArrowUp: now + 1,
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      Home: 1,
      End: last,
    };
    const next = steps[event.key];
    if (next === undefined) return;
    event.preventDefault();
    read(Math.max(1, Math.min(last, next)));
  }
  return (
    <div>
      <div
        className="curve"
        role="slider"
        tabIndex={0}
        aria-label={text.chart.read}
        aria-valuemin={1}
        aria-valuemax={last}
        aria-valuenow={now}
        aria-valuetext={said}
        onKeyDown={onKeyDown}
        onBlur={() => read(undefined)}
      >
        <div aria-hidden="true">{children}</div>
      </div>
      <p className="small read-out" aria-hidden="true">
        {epoch === undefined ? " " : said}
      </p>
    </div>
  );
}

type CurveTableProps = { epochs: EpochPoint[]; epochLosses: Schemas["EpochLossOut"][] };

/** The same losses as rows: one for each pass over the examples. */
function CurveTable({ epochs, epochLosses }: CurveTableProps) {
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
              <td className="number">{loss(epochLosses.find((entry) => entry.epoch === epoch)?.heldOutLoss)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}

/** What the lines mean: by pattern and mark, besides their colour. */
function Legend({ hasHeldOut }: { hasHeldOut: boolean }) {
  return (
    <div className="row small soft legend" aria-hidden="true">
      <span>
        <svg width="28" height="10">
          <line x1="0" y1="5" x2="28" y2="5" stroke="var(--field-line)" />
        </svg>
        {text.chart.stepLoss}
      </span>
      <span>
        <svg width="28" height="10">
          <line x1="0" y1="5" x2="28" y2="5" stroke="var(--accent)" strokeWidth="2.5" />
          <circle cx="14" cy="5" r="4" fill="var(--accent)" />
        </svg>
        {text.chart.epochLoss}
      </span>
      {hasHeldOut && (
        <span>
          <svg width="28" height="10">
            <line x1="0" y1="5" x2="28" y2="5" stroke="var(--good)" strokeWidth="2.5" strokeDasharray="6 4" />
            <rect x="10.5" y="1.5" width="7" height="7" fill="var(--good)" />
          </svg>
          {text.chart.heldOutLoss}
        </span>
      )}
    </div>
  );
}
