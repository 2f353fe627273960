import type { ReactNode } from "react";
import { Button } from "react-aria-components";
import { useOffers, useRole } from "../../api/account";
import { type Kind, useInquiry } from "../../api/reports";
import { ErrorNote } from "../Page";
import { text } from "./text";

type Words = { title: string; help: string; ask: string; again: string };
type Inquiry<K extends Kind> = NonNullable<ReturnType<typeof useInquiry<K>>["query"]["data"]>;
type Props<K extends Kind> = {
  kind: K;
  id: string; // of the tuned model
  words: Words;
  more?: { label: string; how: object }; // another way to ask, which takes longer
  other?: (ask: (how: Promise<object>) => void) => ReactNode; // a way that wants something of the user
  isBare?: boolean; // there is nothing to ask without it
  running: (inquiry: Inquiry<K>) => string;
  children: (report: NonNullable<Inquiry<K>["report"]>) => ReactNode;
};

/** Something that is found out about a tuned model on request: the button for writers, how far it is, its report. */
export function InquiryCard<K extends Kind>({ kind, id, words, more, other, isBare, running, children }: Props<K>) {
  const { query, asking, cancelling } = useInquiry(kind, id, true);
  const canCancel = useOffers("inquiries.cancel");
  const role = useRole(id);
  if (query.isPending) return null;
  const inquiry = query.data as Inquiry<K> | null | undefined;
  const isRunning = inquiry?.state === "RUNNING";
  const canAsk = role === "OWNER" || role === "WRITER";
  const report = inquiry?.report as NonNullable<Inquiry<K>["report"]> | undefined;
  return (
    <section className="card stack" aria-labelledby={kind}>
      <div className="row spread">
        <h2 id={kind}>{words.title}</h2>
        {isRunning && canAsk && canCancel && (
          <Button isDisabled={cancelling.isPending} onPress={() => cancelling.mutate()}>
            {text.model.stopInquiry}
          </Button>
        )}
        {!isRunning && canAsk && (
          <div className="row small-gap">
            {other?.((how) => asking.mutate(how))}
            {more && (
              <Button isDisabled={asking.isPending} onPress={() => asking.mutate(more.how)}>
                {more.label}
              </Button>
            )}
            {!isBare && (
              <Button isDisabled={asking.isPending} onPress={() => asking.mutate({})}>
                {report ? words.again : words.ask}
              </Button>
            )}
          </div>
        )}
      </div>
      {cancelling.isError && <ErrorNote error={cancelling.error} />}
      {asking.isError && <ErrorNote error={asking.error} />}
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      {inquiry?.error && <p className="note bad">{inquiry.error.message}</p>}
      {isRunning && <p role="status">{running(inquiry)}</p>}
      {!report && !isRunning && <p className="soft">{canAsk ? words.help : text.model.notAsked}</p>}
      {report && children(report)}
    </section>
  );
}
