import { Link } from "wouter";
import { useIsSignedIn, useMe, useServerInfo } from "../api/account";
import { idOf, type TunedModel } from "../api/client";
import { isRunning, useOperation, useTunedModels } from "../api/models";
import { Ago, Table } from "../components/Facts";
import { StateBadge, StepProgress } from "../components/JobState";
import { Page, QueryState } from "../components/Page";
import { SignInNote } from "../components/SignIn";
import { text } from "../components/text";
import { counted, duration, tookSeconds } from "../format";

const words = {
  title: "Activity",
  running: "Running and queued",
  idle: "No tuning jobs are running.",
  finished: "Finished today",
  noneFinished: "No jobs finished today.",
  others: (jobs: number) => `${counted(jobs, "job")} from other people ${jobs === 1 ? "is" : "are"} running or queued.`,
  columns: { model: "Model", owner: "Owner", state: "State", progress: "Progress", ended: "Finished" },
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
  return (
    <div className="card flush scroll">
      <Table
        heads={[
          [columns.model],
          [columns.owner],
          [columns.state],
          [areOpen ? columns.progress : text.job.took],
          ...(areOpen ? [] : [[columns.ended] as const]),
        ]}
      >
        <tbody>
          {models.map((model) => (
            <Job key={model.name} model={model} me={me} />
          ))}
        </tbody>
      </Table>
    </div>
  );
}

function Job({ model, me }: { model: TunedModel; me?: string }) {
  const id = idOf(model.name);
  const operation = useOperation(model).data;
  const { owner } = model;
  const { completeTime } = model.tuningTask;
  const took = tookSeconds(model.tuningTask);
  return (
    <tr>
      <td className="title">
        <Link href={`/models/${id}`}>{model.displayName}</Link>
      </td>
      <td className="soft">{owner === me ? text.common.you : text.signIn.you(owner ?? "")}</td>
      <td>
        <StateBadge model={model} operation={operation} />
      </td>
      {isRunning(model) ? (
        <td>{operation && <StepProgress operation={operation} />}</td>
      ) : (
        <>
          <td className="soft">{took === undefined ? "–" : duration(took)}</td>
          <td className="soft">{completeTime && <Ago time={completeTime} />}</td>
        </>
      )}
    </tr>
  );
}
