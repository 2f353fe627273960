import type { ReactNode } from "react";
import { Button } from "react-aria-components";
import { canEdit, idOf, type TunedModel } from "../../api/client";
import { type Kind, useReport } from "../../api/reports";
import { ErrorNote } from "../Page";
import { text } from "./text";

type Words = { title: string; help: string; start: string; again: string };
type Job<K extends Kind> = NonNullable<ReturnType<typeof useReport<K>>["query"]["data"]>;
type Props<K extends Kind> = {
  kind: K;
  model: TunedModel;
  words: Words;
  how?: object; // for the plain way
  more?: { label: string; how: object }; // a slower, more thorough way
  other?: (start: (how: Promise<object>) => void) => ReactNode; // a way that needs more input
  isOtherOnly?: boolean;
  running: (job: Job<K>) => string;
  children: (report: NonNullable<Job<K>["report"]>) => ReactNode;
};

/** A report on a tuned model: the buttons that start it (for writers), its progress, and the newest result. */
export function ReportCard<K extends Kind>({
  kind,
  model,
  words,
  how = {},
  more,
  other,
  isOtherOnly,
  running,
  children,
}: Props<K>) {
  const { query, starting, stopping } = useReport(kind, idOf(model.name), true);
  if (query.isPending) return null;
  const job = query.data as Job<K> | null | undefined;
  const isRunning = job?.state === "RUNNING";
  const canStart = canEdit(model);
  const report = job?.report as NonNullable<Job<K>["report"]> | undefined;
  return (
    <section className="card stack" aria-labelledby={kind}>
      <div className="row spread">
        <h2 id={kind}>{words.title}</h2>
        {isRunning && canStart && (
          <Button isDisabled={stopping.isPending} onPress={() => stopping.mutate()}>
            {text.model.stopReport}
          </Button>
        )}
        {!isRunning && canStart && (
          <div className="row small-gap">
            {other?.((how) => starting.mutate(how))}
            {more && (
              <Button isDisabled={starting.isPending} onPress={() => starting.mutate(more.how)}>
                {more.label}
              </Button>
            )}
            {!isOtherOnly && (
              <Button isDisabled={starting.isPending} onPress={() => starting.mutate(how)}>
                {report ? words.again : words.start}
              </Button>
            )}
          </div>
        )}
      </div>
      {stopping.isError && <ErrorNote error={stopping.error} />}
      {starting.isError && <ErrorNote error={starting.error} />}
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      {job?.error && <p className="note bad">{job.error.message}</p>}
      {isRunning && <p role="status">{running(job)}</p>}
      {!report && !isRunning && <p className="soft">{canStart ? words.help : text.model.noReport}</p>}
      {report && children(report)}
    </section>
  );
}
