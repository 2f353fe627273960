import { Link } from "wouter";
import { idOf, type Operation, type TunedModel } from "../../api/client";
import { isRunning } from "../../api/models";
import { count, duration, tookSeconds } from "../../format";
import { LossCurve } from "../chart/LossCurve";
import { Ago, Facts } from "../Facts";
import { Contract } from "./Calling";
import { text } from "./text";

/** The loss curve with its advice, and the settings of the job. */
export function Overview({ model, operation }: { model: TunedModel; operation?: Operation }) {
  const task = model.tuningTask;
  const live = isRunning(model) ? operation?.metadata : undefined; // the last poll may be older than the model
  const advice = live?.advice ?? task.advice;
  return (
    <div className="columns">
      <section className="card stack" aria-labelledby="loss">
        <h2 id="loss">{text.model.loss}</h2>
        <LossCurve
          name={idOf(model.name)}
          task={task}
          snapshots={live?.snapshots ?? task.snapshots ?? []}
          epochLosses={live?.epochLosses ?? task.epochLosses ?? []}
          curve={live?.curve ?? task.curve}
        />
        {advice && (
          <div className={`note row spread ${advice.kind === "ruined" ? "bad" : ""}`}>
            <span>{advice.text}</span>
            {advice.epochCount !== undefined && model.state !== "CREATING" && (
              <Link className="button" href={`/new?from=${idOf(model.name)}&epochs=${advice.epochCount}`}>
                {text.model.againWith(advice.epochCount)}
              </Link>
            )}
          </div>
        )}
      </section>
      <ModelFacts model={model} />
    </div>
  );
}

/** The settings of a job, and facts about its data, machine and versions. */
function ModelFacts({ model }: { model: TunedModel }) {
  const { hyperparameters, data, heldOutRows, seed, versions = {}, settings = {} } = model.tuningTask;
  const took = tookSeconds(model.tuningTask);
  return (
    <aside className="stack">
      <section className="card">
        <h2>{text.model.settings}</h2>
        <Facts
          facts={[
            [text.model.base, model.baseWeights],
            [text.model.epochs, hyperparameters.epochCount],
            [text.model.batch, hyperparameters.batchSize],
            [text.model.rate, hyperparameters.learningRate],
            [text.model.seed, seed],
            [text.model.created, <Ago key="created" time={model.createTime} />],
            [text.job.took, took === undefined ? undefined : duration(took)],
          ]}
        />
      </section>
      <section className="card">
        <h2>{text.model.dataFacts}</h2>
        <Facts
          facts={[
            [text.model.rows, count(data.rows)],
            [text.model.heldOutRows, heldOutRows ? count(heldOutRows) : undefined],
            [text.model.source, data.source],
            [
              text.model.digest,
              <abbr key="hash" title={data.sha256} className="mono">
                {data.sha256.slice(0, 12)}…
              </abbr>,
            ],
          ]}
        />
      </section>
      <Contract model={model} />
      {Object.keys(versions).length > 0 && (
        <details className="card">
          <summary>{text.model.machine}</summary>
          <Facts facts={[...plain(settings), ...plain(versions)]} />
        </details>
      )}
    </aside>
  );
}

function plain(values: Record<string, unknown>): [string, string][] {
  return Object.entries(values).map(([name, value]) => [
    name.replaceAll("_", " "),
    typeof value === "object" ? JSON.stringify(value) : String(value),
  ]);
}
