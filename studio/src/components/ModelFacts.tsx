import type { TunedModel } from "../api/client";
import { count, duration } from "../format";
import { text } from "../text/en";
import { Ago } from "./Ago";
import { Facts } from "./Facts";

/** The settings of a run as they were saved, and facts about its data. */
export function ModelFacts({ model }: { model: TunedModel }) {
  const { hyperparameters, data, heldOutRows, seed, startTime, completeTime } = model.tuningTask;
  const took =
    startTime && completeTime ? (Date.parse(completeTime) - Date.parse(startTime)) / 1000 : undefined;
  return (
    <aside className="stack">
      <section className="card">
        <h2>{text.model.settings}</h2>
        <Facts
          facts={[
            [text.create.base, model.baseWeights],
            [text.create.epochs, hyperparameters.epochCount],
            [text.create.batch, hyperparameters.batchSize],
            [text.create.rate, hyperparameters.learningRate],
            [text.create.seed, seed],
            ["Created", <Ago key="created" time={model.createTime} />],
            ["Tuned in", took === undefined ? undefined : duration(took)],
          ]}
        />
      </section>
      <section className="card">
        <h2>{text.model.data}</h2>
        <Facts
          facts={[
            ["Rows", count(data.rows)],
            ["Held out", heldOutRows ? count(heldOutRows) : undefined],
            ["Source", data.source],
            [
              "SHA-256",
              <span key="hash" className="mono">
                {data.sha256.slice(0, 12)}…
              </span>,
            ],
          ]}
        />
      </section>
    </aside>
  );
}
