import { Button } from "react-aria-components";
import { Link } from "wouter";
import { canEdit, idOf, type Operation, type Schemas, type TunedModel } from "../../api/client";
import { isRunning, useServedEpoch } from "../../api/models";
import { count, duration, megabytes, tookSeconds } from "../../format";
import { type Option, SelectField } from "../controls";
import { LossCurve } from "../chart/LossCurve";
import { Ago, Facts } from "../Facts";
import { ErrorNote } from "../Page";
import { Contract } from "./Calling";
import { EpochAnswers } from "./EpochAnswers";
import { text } from "./text";
import { Verdict } from "./Verdict";

/** Whether tuning helped, the loss curve with its advice, and the settings of the job. */
export function Overview({ model, operation }: { model: TunedModel; operation?: Operation }) {
  const task = model.tuningTask;
  const live = isRunning(model) ? operation?.metadata : undefined; // the last poll may be older than the model
  const advice = live?.advice ?? task.advice;
  return (
    <div className="columns">
      <div className="stack">
        <Verdict model={model} />
        <section className="card stack" aria-labelledby="loss">
          <h2 id="loss">{text.model.loss}</h2>
          <LossCurve
            name={idOf(model.name)}
            task={task}
            snapshots={live?.snapshots ?? task.snapshots ?? []}
            epochLosses={live?.epochLosses ?? task.epochLosses ?? []}
            curve={live?.curve ?? task.curve}
            servedEpoch={model.servedEpoch}
          />
          {advice && <AdviceNote model={model} advice={advice} />}
          <ServedEpoch model={model} />
        </section>
        <EpochAnswers model={model} />
      </div>
      <ModelFacts model={model} />
    </div>
  );
}

type AdviceProps = { model: TunedModel; advice: Schemas["AdviceOut"] };

/** The advice on the curve. If it names an epoch, that epoch is already available without tuning again. */
function AdviceNote({ model, advice: { kind, text: sentence, epochCount: epoch } }: AdviceProps) {
  const use = useServedEpoch(idOf(model.name));
  const isKept = model.tuningTask.epochLosses?.some((one) => one.epoch === epoch) ?? false;
  const isOffered = isKept && model.state === "ACTIVE" && epoch !== model.servedEpoch && canEdit(model);
  return (
    <div className={`note row spread ${["ruined", "constant"].includes(kind) ? "bad" : ""}`}>
      <span>{sentence}</span>
      {isOffered && epoch !== undefined && (
        <Button isDisabled={use.isPending} onPress={() => use.mutate(epoch)}>
          {text.model.useEpoch(epoch)}
        </Button>
      )}
    </div>
  );
}

/** The epoch that answers, which writers can change. */
function ServedEpoch({ model }: { model: TunedModel }) {
  const use = useServedEpoch(idOf(model.name));
  const { epochLosses = [], curve } = model.tuningTask;
  if (model.state !== "ACTIVE" || epochLosses.length < 2) return null;
  const now = model.servedEpoch;
  if (!canEdit(model)) return now === undefined ? null : <p className="soft">{text.model.serves(now)}</p>;
  return (
    <>
      {use.isError && <ErrorNote error={use.error} />}
      <SelectField
        label={text.model.servedEpoch}
        help={text.model.servedEpochHelp}
        value={now === undefined ? "" : String(now)}
        change={(epoch) => use.mutate(Number(epoch))}
        options={[
          ...(now === undefined ? [["", text.model.betweenEpochs] as Option] : []),
          ...epochLosses.map(({ epoch }): Option => [
            String(epoch),
            text.model.epochOf(epoch, epoch === curve?.bestEpoch),
          ]),
        ]}
      />
    </>
  );
}

/** The settings of a job, and facts about its data, machine and versions. */
function ModelFacts({ model }: { model: TunedModel }) {
  const { hyperparameters, data, heldOutRows, seed, versions = {}, settings = {} } = model.tuningTask;
  const took = tookSeconds(model.tuningTask);
  const recipe = Object.fromEntries(Object.entries(settings).filter(([name]) => !OF_MACHINE.includes(name)));
  return (
    <aside className="stack">
      <section className="card">
        <h2>{text.model.settings}</h2>
        <Facts
          facts={[
            [text.model.base, model.baseWeights],
            [text.model.continues, origin(model.tunedModelSource?.tunedModel)],
            [text.model.again, origin(model.tunedAgainFrom)],
            [text.model.epochs, hyperparameters.epochCount],
            [text.model.batch, hyperparameters.batchSize],
            [text.model.rate, hyperparameters.learningRate],
            [text.model.labelShare, hyperparameters.labelShare],
            [text.model.weights, hyperparameters.weights],
            [text.model.seed, seed],
            [text.model.created, <Ago key="created" time={model.createTime} />],
            [text.job.took, took === undefined ? undefined : duration(took)],
          ]}
        />
        {model.settingsReason && <p className="small soft">{model.settingsReason}</p>}
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
      <Machine settings={settings} />
      {Object.keys(versions).length > 0 && (
        <details className="card">
          <summary>{text.model.technical}</summary>
          <Facts facts={[...plain(recipe), ...plain(versions)]} />
        </details>
      )}
    </aside>
  );
}

/** A link to the model that another one begins with; it may have been deleted. */
const origin = (name?: string) => name && <Link href={`/models/${idOf(name)}`}>{idOf(name)}</Link>;

// settings that say how it was computed, and the epoch that was chosen then; another may be in use now
const OF_MACHINE = ["processor_seconds", "peak_memory_bytes", "threads", "dtype", "micro_batch_size", "best_epoch"];

/** What tuning took of the machine. */
function Machine({ settings }: { settings: Record<string, unknown> }) {
  const { processor_seconds: seconds, peak_memory_bytes: peak, threads, dtype, micro_batch_size: rows } = settings;
  if (threads === undefined) return null;
  return (
    <section className="card">
      <h2>{text.model.machine}</h2>
      <Facts
        facts={[
          [text.model.processorTime, seconds === undefined ? undefined : duration(Number(seconds))],
          [text.model.peakMemory, Number(peak) > 0 ? megabytes(Number(peak)) : undefined],
          [text.model.threads, String(threads)],
          [text.model.numberFormat, String(dtype)],
          [text.model.atOnce, String(rows)],
        ]}
      />
    </section>
  );
}

function plain(values: Record<string, unknown>): [string, string][] {
  return Object.entries(values).map(([name, value]) => [
    name.replaceAll("_", " "),
    typeof value === "object" ? JSON.stringify(value) : String(value),
  ]);
}
