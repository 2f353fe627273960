import { Link, useLocation } from "wouter";
import type { Operation, TunedModel } from "../api/client";
import { idOf, isRunning, useCancel, useDelete, useOperation, useTunedModel } from "../api/models";
import { CodeTabs } from "../components/CodeTabs";
import { Confirm } from "../components/Confirm";
import { ErrorNote } from "../components/ErrorNote";
import { LossCurve } from "../components/LossCurve";
import { ModelFacts } from "../components/ModelFacts";
import { Page } from "../components/Page";
import { ShareDialog } from "../components/ShareDialog";
import { StateBadge } from "../components/StateBadge";
import { StepProgress } from "../components/StepProgress";
import { epochOf } from "../format";
import { answerSnippets } from "../snippets";
import { text } from "../text/en";

/** One tuned model: how its making goes or went, its curve, its settings, and how to call it. */
export function ModelPage({ id }: { id: string }) {
  const query = useTunedModel(id);
  const operation = useOperation(query.data);
  const model = query.data;
  if (!model) {
    return (
      <Page title={id}>
        {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      </Page>
    );
  }
  const snapshots = operation.data?.metadata.snapshots ?? model.tuningTask.snapshots ?? [];
  const epochLosses = operation.data?.metadata.epochLosses ?? model.tuningTask.epochLosses ?? [];
  return (
    <Page title={model.displayName} actions={<Actions model={model} />}>
      {query.isError && <ErrorNote error={query.error} />}
      <div className="row">
        <StateBadge model={model} operation={operation.data} />
        <span className="soft mono">{idOf(model.name)}</span>
        <span className="soft">{model.description}</span>
      </div>
      <Outcome model={model} />
      {isRunning(model) && operation.data && <Running model={model} operation={operation.data} />}
      <div className="columns">
        <section className="card stack" aria-labelledby="loss">
          <h2 id="loss">{text.model.loss}</h2>
          <LossCurve task={model.tuningTask} snapshots={snapshots} epochLosses={epochLosses} />
          {model.tuningTask.advice && <div className="note">{model.tuningTask.advice.text}</div>}
        </section>
        <ModelFacts model={model} />
      </div>
      {model.state === "ACTIVE" && (
        <section className="card" aria-labelledby="api">
          <h2 id="api">{text.model.api}</h2>
          <CodeTabs snippets={answerSnippets(location.origin, model.name, "…")} />
        </section>
      )}
    </Page>
  );
}

function Actions({ model }: { model: TunedModel }) {
  const [, go] = useLocation();
  const id = idOf(model.name);
  const [cancel, remove] = [useCancel(id), useDelete(id)];
  const { cancelTitle, cancelText, removeTitle, removeText, keep, keepModel, stop } = text.model;
  return (
    <>
      {model.state === "ACTIVE" && (
        <>
          <Link className="button primary" href={`/playground?model=${model.name}`}>
            {text.model.use}
          </Link>
          <Link className="button" href={`/playground?model=${model.name}&with=models/${model.baseWeights}`}>
            {text.playground.compare.replace(" with", "")}
          </Link>
        </>
      )}
      <ShareDialog id={id} name={model.displayName} />
      {isRunning(model) ? (
        <Confirm
          trigger={text.model.cancel}
          title={cancelTitle(model.displayName)}
          body={cancelText}
          keep={keep}
          act={stop}
          onAct={() => cancel.mutate()}
        />
      ) : (
        <Confirm
          trigger={text.model.remove}
          title={removeTitle(model.displayName)}
          body={removeText}
          keep={keepModel}
          act={text.model.remove}
          onAct={() => remove.mutate(undefined, { onSuccess: () => go("/") })}
        />
      )}
    </>
  );
}

function Outcome({ model }: { model: TunedModel }) {
  const { snapshots = [], hyperparameters, data } = model.tuningTask;
  if (model.cancelled) {
    const epoch = epochOf(snapshots.length, hyperparameters.batchSize, data.rows);
    return <div className="note warn">{text.model.cancelledAt(epoch, hyperparameters.epochCount)}</div>;
  }
  if (model.state !== "FAILED") return null;
  return (
    <div className="note bad" role="alert">
      <p>{model.error?.message}</p>
      <p className="small">{text.model.failedHelp}</p>
    </div>
  );
}

function Running({ model, operation }: { model: TunedModel; operation: Operation }) {
  const { hyperparameters, data, heldOutRows = 0 } = model.tuningTask;
  const { totalSteps, completedSteps = 0 } = operation.metadata;
  const epoch = epochOf(Math.max(1, completedSteps), hyperparameters.batchSize, data.rows - heldOutRows);
  return (
    <section className="card stack" aria-live="off">
      <div>{text.model.position(epoch, hyperparameters.epochCount, completedSteps, totalSteps)}</div>
      <StepProgress operation={operation} />
    </section>
  );
}
