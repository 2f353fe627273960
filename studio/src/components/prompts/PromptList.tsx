import { useState } from "react";
import { Link, useLocation } from "wouter";
import { type Prompt, useDeletePrompt, usePrompts } from "../../api/examples";
import { idOf } from "../../api/client";
import { RowMenu } from "../controls";
import { ConfirmDeletion } from "../dialogs";
import { Ago, Table } from "../Facts";
import { QueryState } from "../Page";
import { toast } from "../toasts";
import { text } from "./text";

const HEADS = [
  [text.common.name],
  [text.prompts.examples, "number"],
  [text.common.updated],
  [<span className="visually-hidden">{text.common.actions}</span>, "narrow"],
] as const;

/** The user's structured prompts, including drafts of tuned models. */
export function PromptList() {
  const query = usePrompts();
  const [toDelete, setToDelete] = useState<Prompt>();
  const remove = useDeletePrompt();
  if (!query.data) return <QueryState query={query} />;
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
        <Table heads={HEADS}>
          <tbody>
            {query.data.map((prompt) => (
              <PromptRow key={prompt.name} prompt={prompt} remove={() => setToDelete(prompt)} />
            ))}
          </tbody>
        </Table>
      </div>
      <ConfirmDeletion
        isOpen={toDelete !== undefined}
        onClose={() => setToDelete(undefined)}
        name={toDelete?.displayName ?? ""}
        body={text.prompts.removeText}
        onAct={() => {
          if (!toDelete) return;
          remove.mutate(idOf(toDelete.name), {
            onSuccess: () => toast(text.removal.done(toDelete.displayName)),
          });
        }}
      />
    </>
  );
}

/** Drafts of the New tuned model page are stored as prompts. */
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
