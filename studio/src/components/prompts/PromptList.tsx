import { useState } from "react";
import { Link, useLocation } from "wouter";
import { type Prompt, useDeletePrompt, usePrompts } from "../../api/examples";
import { idOf } from "../../api/client";
import { RowMenu } from "../controls";
import { Confirm } from "../dialogs";
import { Ago } from "../Facts";
import { ErrorNote, Skeleton } from "../Page";
import { toast } from "../toasts";
import { text } from "./text";

/** The user's structured prompts; drafts of tuned models among them. */
export function PromptList() {
  const query = usePrompts();
  const [doomed, setDoomed] = useState<Prompt>();
  const remove = useDeletePrompt();
  if (query.isPending) return <Skeleton />;
  if (query.isError) return <ErrorNote error={query.error} retry={() => void query.refetch()} />;
  if (query.data.length === 0) {
    return (
      <div className="card empty">
        <h2>{text.prompts.empty}</h2>
        <p className="soft">{text.prompts.emptyHelp}</p>
      </div>
    );
  }
  return (
    <>
      <div className="card flush scroll">
        <table className="list">
          <thead>
            <tr>
              <th scope="col">{text.common.name}</th>
              <th scope="col" className="number">
                {text.prompts.examples}
              </th>
              <th scope="col">{text.common.updated}</th>
              <th scope="col" className="narrow">
                <span className="visually-hidden">{text.common.actions}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {query.data.map((prompt) => (
              <PromptRow key={prompt.name} prompt={prompt} remove={() => setDoomed(prompt)} />
            ))}
          </tbody>
        </table>
      </div>
      <Confirm
        isOpen={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={text.removal.title(doomed?.displayName ?? "")}
        body={text.prompts.removeText}
        keep={text.common.cancel}
        act={text.common.remove}
        onAct={() => {
          if (!doomed) return;
          remove.mutate(idOf(doomed.name), {
            onSuccess: () => toast(text.removal.done(doomed.displayName)),
          });
        }}
      />
    </>
  );
}

/** Whether a prompt is the unfinished form of a tuned model, which the page that tunes keeps. */
const isDraft = ({ tuning }: Prompt) => tuning?.isDraft === true;

function PromptRow({ prompt, remove }: { prompt: Prompt; remove: () => void }) {
  const [, go] = useLocation();
  const id = idOf(prompt.name);
  const address = isDraft(prompt) ? `/new?draft=${id}` : `/prompts/${id}`;
  return (
    <tr>
      <td className="title">
        <Link href={address}>{prompt.displayName}</Link>
        {isDraft(prompt) && <span className="badge gap-left">{text.prompts.draft}</span>}
        {prompt.preamble && <div className="small soft clamp one">{prompt.preamble}</div>}
      </td>
      <td className="number">{prompt.rowCount}</td>
      <td className="soft nowrap">
        <Ago time={prompt.updateTime} />
      </td>
      <td className="narrow">
        <RowMenu
          name={prompt.displayName}
          actions={[
            { id: "open", label: text.common.open, act: () => go(address) },
            ...(isDraft(prompt) ? [] : [{ id: "tune", label: text.prompts.tune, act: () => go(`/new?prompt=${id}`) }]),
            { id: "remove", label: text.common.remove, act: remove, isDanger: true },
          ]}
        />
      </td>
    </tr>
  );
}
