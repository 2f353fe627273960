import { type KeyboardEvent, lazy, type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import type { Schemas, Snapshot } from "../../api/client";
import { loss } from "../../format";
import { csv, download } from "../../transfer";
import { ScrollRegion, Table } from "../Facts";
import { text } from "../model/text";
import { points } from "./curve";

const LossChart = lazy(() => import("./LossChart"));

type EpochLoss = Schemas["EpochLossOut"];
type LossCurveProps = {
  name: string;
  task: Schemas["TuningTaskOut"];
  snapshots: Snapshot[];
  epochLosses: EpochLoss[];
  curve?: Schemas["CurveFactsOut"];
  servedEpoch?: number;
};

type View = { isTable: boolean; isLog: boolean; isSteps: boolean; isSmooth: boolean };

/** The loss curve with its summary, as a chart or as a table; both can be downloaded. */
export function LossCurve({ name, task, snapshots, epochLosses, curve, servedEpoch }: LossCurveProps) {
  const [view, setView] = useState<View>({ isTable: false, isLog: false, isSteps: false, isSmooth: false });
  const [readEpoch, setReadEpoch] = useState<number>();
  const picture = useRef<HTMLDivElement>(null);
  const { batchSize, epochCount } = task.hyperparameters;
  const examples = task.data.rows - (task.heldOutRows ?? 0);
  if (snapshots.length === 0) return <p className="soft">{text.chart.none}</p>;
  const toggle = (part: keyof View) => setView({ ...view, [part]: !view[part] });
  return (
    <div className="stack">
      <p className="soft">{curve?.summary}</p>
      {view.isTable ? (
        <CurveTable epochs={epochLosses} />
      ) : (
        <CurveReader epochs={epochLosses} epoch={readEpoch} read={setReadEpoch}>
          <div ref={picture}>
            <WhenSeen placeholder={<div className="chart" />}>
              <LossChart
                {...{ snapshots, epochLosses, batchSize, examples, epochCount, curve, servedEpoch, readEpoch }}
                isLog={view.isLog}
                isSteps={view.isSteps}
                isSmooth={view.isSmooth}
              />
            </WhenSeen>
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

/** Loads and draws its children once they come into view; the code of the chart is a third of the Studio. */
function WhenSeen({ placeholder, children }: { placeholder: ReactNode; children: ReactNode }) {
  const place = useRef<HTMLDivElement>(null);
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    if (!place.current) return;
    const observer = new IntersectionObserver((found) => found.some((one) => one.isIntersecting) && setSeen(true));
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  return <div ref={place}>{isSeen ? <Suspense fallback={placeholder}>{children}</Suspense> : placeholder}</div>;
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

/** Save the chart as it is shown, with the theme's colours written into it. */
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
  epochs: EpochLoss[];
  epoch?: number; // the epoch being read
  read: (epoch: number | undefined) => void;
  children: ReactNode; // the picture
};

/** Makes the chart readable by arrow keys, epoch by epoch; the chart marks the epoch. */
function CurveReader({ epochs, epoch, read, children }: CurveReaderProps) {
  const last = epochs.length;
  const now = epoch ?? last;
  const { meanLoss, heldOutLoss } = epochs[now - 1] ?? {};
  const reading = text.chart.point(now, loss(meanLoss), heldOutLoss === undefined ? undefined : loss(heldOutLoss));
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
  if (last === 0) return children;
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
        aria-valuetext={reading}
        onKeyDown={onKeyDown}
        onBlur={() => read(undefined)}
      >
        <div aria-hidden="true">{children}</div>
      </div>
      <p className="small read-out" aria-hidden="true">
        {epoch === undefined ? " " : reading}
      </p>
    </div>
  );
}

/** The losses as a table, with a row for each epoch. */
function CurveTable({ epochs }: { epochs: EpochLoss[] }) {
  return (
    <ScrollRegion height={300} label={text.chart.table}>
      <Table heads={[[text.chart.epoch], [text.chart.epochLoss, "number"], [text.chart.heldOutLoss, "number"]]}>
        <tbody>
          {epochs.map(({ epoch, meanLoss, heldOutLoss }) => (
            <tr key={epoch}>
              <td>{epoch}</td>
              <td className="number">{loss(meanLoss)}</td>
              <td className="number">{loss(heldOutLoss)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </ScrollRegion>
  );
}

/** The legend of the lines, which differ in pattern and marks as well as in colour. */
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
