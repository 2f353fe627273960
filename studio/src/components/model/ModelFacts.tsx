import type { TunedModel } from "../../api/client";
import { count, duration } from "../../format";
import { text } from "../../text/en";
import { tookSeconds } from "../../took";
import { Ago } from "../Ago";
import { Facts } from "../Facts";
import { Contract } from "./Contract";

/** The settings of a run as they were saved, and facts about data, machine and versions. */
export function ModelFacts({ model }: { model: TunedModel }) {
  const { hyperparameters, data, heldOutRows, seed, versions = {}, settings = {} } = model.tuningTask;
  const took = tookSeconds(model.tuningTask);
  return (
    <aside className="stack">
      <section className="card">
        <h2>{text.model.settings}</h2>
        <Facts
          facts={[
            [text.model.base, model.baseWeights],
            [text.create.epochs, hyperparameters.epochCount],
            [text.model.batch, hyperparameters.batchSize],
            [text.model.rate, hyperparameters.learningRate],
            [text.model.seed, seed],
            [text.model.created, <Ago key="created" time={model.createTime} />],
            [text.model.took, took === undefined ? undefined : duration(took)],
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
