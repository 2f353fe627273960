import { lazy, Suspense, useRef, useState } from "react";
import type { Schemas, Snapshot } from "../../api/client";
import { epochMeans, points } from "../../curve";
import { csv, download } from "../../download";
import { loss } from "../../format";
import { text } from "../../text/en";
import { CurveReader } from "./CurveReader";
import { CurveTable } from "./CurveTable";
import { Legend } from "./Legend";

const LossChart = lazy(() => import("./LossChart"));

type Props = {
  name: string;
  task: Schemas["TuningTaskOut"];
  snapshots: Snapshot[];
  epochLosses: Schemas["EpochLossOut"][];
  advice?: Schemas["AdviceOut"];
};

type View = { isTable: boolean; isLog: boolean; isSteps: boolean; isSmooth: boolean };

/** The loss curve as a picture with its summary, or as the table behind it; both can be saved. */
export function LossCurve({ name, task, snapshots, epochLosses, advice }: Props) {
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
        <Chip
          label={text.chart.steps}
          isOn={view.isSteps}
          toggle={() => toggle("isSteps")}
          isOff={view.isTable}
        />
        <Chip label={text.chart.log} isOn={view.isLog} toggle={() => toggle("isLog")} isOff={view.isTable} />
        <Chip
          label={text.chart.smooth}
          isOn={view.isSmooth}
          toggle={() => toggle("isSmooth")}
          isOff={view.isTable}
        />
        <button
          type="button"
          className="chip"
          onClick={() => saveCsv(name, points(snapshots, batchSize, examples))}
        >
          {text.chart.csv}
        </button>
        <button
          type="button"
          className="chip"
          disabled={view.isTable}
          onClick={() => saveSvg(name, picture.current)}
        >
          {text.chart.svg}
        </button>
      </div>
    </div>
  );
}

function Chip({
  label,
  isOn,
  toggle,
  isOff,
}: {
  label: string;
  isOn: boolean;
  toggle: () => void;
  isOff?: boolean;
}) {
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
