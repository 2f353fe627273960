import { Link } from "wouter";
import type { Operation, TunedModel } from "../../api/client";
import { idOf } from "../../api/models";
import { text } from "../../text/en";
import { LossCurve } from "../chart/LossCurve";
import { ModelFacts } from "./ModelFacts";

/** The curve with its advice, and the settings of the run as they were saved. */
export function Overview({ model, operation }: { model: TunedModel; operation?: Operation }) {
  const task = model.tuningTask;
  const live = operation && !operation.done ? operation.metadata : undefined;
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
          advice={advice}
        />
        {advice && (
          <div className="note row spread">
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
