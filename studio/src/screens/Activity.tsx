import { useIsSignedIn, useMe } from "../api/account";
import type { TunedModel } from "../api/client";
import { idOf, isRunning, useTunedModels } from "../api/models";
import { useServerInfo } from "../api/server";
import { ActivityTable } from "../components/ActivityTable";
import { ErrorNote, SignInNote } from "../components/ErrorNote";
import { Page } from "../components/Page";
import { Skeleton } from "../components/Skeleton";
import { text } from "../text/en";

/** What is being tuned, what waits, and what has ended today. */
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
    <Page title={text.activity.title}>
      {isSignedIn === false && <SignInNote />}
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      {isSignedIn && query.isPending && <Skeleton />}
      {query.isSuccess && (
        <>
          <section className="stack tight" aria-labelledby="running">
            <h2 id="running">{text.activity.running}</h2>
            {open.length > 0 ? (
              <ActivityTable models={open} me={me} />
            ) : (
              others <= 0 && <p className="card soft">{text.activity.idle}</p>
            )}
            {others > 0 && <p className="soft">{text.activity.others(others)}</p>}
            {runningAnswers + waitingAnswers > 0 && (
              <p className="soft small">{text.activity.answers(runningAnswers, waitingAnswers)}</p>
            )}
          </section>
          <section className="stack tight" aria-labelledby="finished">
            <h2 id="finished">{text.activity.finished}</h2>
            {ended.length > 0 ? (
              <ActivityTable key={ended.map(({ name }) => idOf(name)).join()} models={ended} me={me} />
            ) : (
              <p className="card soft">{text.activity.noneFinished}</p>
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
