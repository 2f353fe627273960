import { useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { useIsSignedIn, useMe, useServerInfo } from "../api/account";
import { canEdit, idOf, type TunedModel } from "../api/client";
import { isRunning, useOperation, useStartNext, useTunedModels } from "../api/models";
import { Cancellation } from "../components/library/Selection";
import { Ago, Table } from "../components/Facts";
import { StateBadge, StepProgress } from "../components/JobState";
import { Page, QueryState } from "../components/Page";
import { SignInNote } from "../components/SignIn";
import { text } from "../components/text";
import { toastError } from "../components/toasts";
import { counted, duration, tookSeconds } from "../format";

const words = {
  title: "Activity",
  running: "Running and queued",
  idle: "No tuning jobs are running.",
  finished: "Finished today",
  noneFinished: "No jobs finished today.",
  others: (jobs: number) => `${counted(jobs, "job")} from other people ${jobs === 1 ? "is" : "are"} running or queued.`,
  columns: { model: "Model", owner: "Owner", state: "State", progress: "Progress", ended: "Finished" },
  next: "Start next",
  nextOf: (name: string) => `Start next: “${name}”`,
  cancelOf: (name: string) => `Cancel tuning “${name}”`,
  answers: (running: number, waiting: number) => `Generating ${counted(running, "answer")}, ${waiting} waiting.`,
} as const;

/** Tuning jobs that are running, queued, or finished today. */
export function Activity() {
  const isSignedIn = useIsSignedIn();
  const me = useMe().data?.user;
  const query = useTunedModels("readers:me");
  const info = useServerInfo().data;
  const models = query.data ?? [];
  const open = models.filter(isRunning).sort((a, b) => a.createTime.localeCompare(b.createTime));
  const ended = models.filter((model) => !isRunning(model) && endedToday(model));
  const others = (info?.queueLength ?? 0) + (info?.runningTasks ?? 0) - open.length;
  const { runningAnswers = 0, waitingAnswers = 0 } = info ?? {};
  return (
    <Page title={words.title}>
      {isSignedIn === false && <SignInNote />}
      <QueryState query={query} />
      {query.isSuccess && (
        <>
          <section className="stack tight" aria-labelledby="running">
            <h2 id="running">{words.running}</h2>
            {open.length > 0 ? (
              <ActivityTable models={open} me={me} />
            ) : (
              others <= 0 && <p className="card soft">{words.idle}</p>
            )}
            {others > 0 && <p className="soft">{words.others(others)}</p>}
            {runningAnswers + waitingAnswers > 0 && (
              <p className="soft small">{words.answers(runningAnswers, waitingAnswers)}</p>
            )}
          </section>
          <section className="stack tight" aria-labelledby="finished">
            <h2 id="finished">{words.finished}</h2>
            {ended.length > 0 ? (
              <ActivityTable key={ended.map(({ name }) => idOf(name)).join()} models={ended} me={me} />
            ) : (
              <p className="card soft">{words.noneFinished}</p>
            )}
          </section>
        </>
      )}
    </Page>
  );
}

function endedToday({ tuningTask }: TunedModel): boolean {
  const { completeTime } = tuningTask;
  return completeTime !== undefined && new Date(completeTime).toDateString() === new Date().toDateString();
}

/** Tuning jobs as rows: model, owner, state, progress. */
function ActivityTable({ models, me }: { models: TunedModel[]; me?: string }) {
  const { columns } = words;
  const areOpen = models.some(isRunning);
  const [toCancel, setToCancel] = useState<TunedModel[]>([]);
  return (
    <div className="card flush scroll fitted">
      <Table
        className="jobs"
        heads={[
          [columns.model],
          [columns.owner],
          [columns.state],
          [areOpen ? columns.progress : text.job.took],
          areOpen ? [<span className="visually-hidden">{text.common.actions}</span>, "narrow"] : [columns.ended],
        ]}
      >
        <tbody>
          {models.map((model) => (
            <Job key={model.name} model={model} me={me} cancel={() => setToCancel([model])} />
          ))}
        </tbody>
      </Table>
      <Cancellation models={toCancel} close={() => setToCancel([])} />
    </div>
  );
}

function Job({ model, me, cancel }: { model: TunedModel; me?: string; cancel: () => void }) {
  const id = idOf(model.name);
  const operation = useOperation(model).data;
  const { owner } = model;
  const { completeTime } = model.tuningTask;
  const took = tookSeconds(model.tuningTask);
  const startNext = useStartNext();
  const { phase, waitingBefore = 0 } = operation?.metadata ?? {};
  return (
    <tr>
      <td className="title" dir="auto">
        <Link href={`/models/${id}`}>{model.displayName}</Link>
      </td>
      <td className="soft">{text.signIn.person(owner ?? "", me)}</td>
      <td>
        <StateBadge model={model} operation={operation} />
      </td>
      {isRunning(model) ? (
        <>
          <td>{operation && <StepProgress operation={operation} />}</td>
          <td className="narrow">
            {canEdit(model) && phase === "QUEUED" && waitingBefore > 0 && (
              <Button
                className="button quiet"
                aria-label={words.nextOf(model.displayName)}
                isDisabled={startNext.isPending}
                onPress={() => startNext.mutate(id, { onError: toastError })}
              >
                {words.next}
              </Button>
            )}
            {canEdit(model) && (
              <Button className="button quiet" aria-label={words.cancelOf(model.displayName)} onPress={cancel}>
                {text.job.cancel}
              </Button>
            )}
          </td>
        </>
      ) : (
        <>
          <td className="soft">{took === undefined ? "–" : duration(took)}</td>
          <td className="soft">{completeTime && <Ago time={completeTime} />}</td>
        </>
      )}
    </tr>
  );
}
