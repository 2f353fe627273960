import { useState } from "react";
import { Button, FileTrigger } from "react-aria-components";
import { Link, useLocation } from "wouter";
import { isDraft, type Prompt, useDeletePrompt, useImportPrompt, usePrompts } from "../../api/examples";
import { idOf } from "../../api/client";
import { RowMenu } from "../controls";
import { Confirm, ConfirmDeletion } from "../dialogs";
import { Ago, Table } from "../Facts";
import { QueryState } from "../Page";
import { toast, toastError } from "../toasts";
import { text } from "./text";

const HEADS = [
  [text.common.name],
  [text.prompts.examples, "number"],
  [text.common.updated],
  [<span className="visually-hidden">{text.common.actions}</span>, "narrow"],
] as const;

/** The user's structured prompts; drafts of tuned models, which are stored as prompts, are listed separately. */
export function PromptList() {
  const query = usePrompts();
  if (!query.data) return <QueryState query={query} />;
  const prompts = query.data.filter((prompt) => !isDraft(prompt));
  const drafts = query.data.filter(isDraft);
  return (
    <>
      {prompts.length > 0 ? (
        <div className="card flush scroll">
          <PromptTable prompts={prompts} />
        </div>
      ) : (
        <div className="card empty">
          <h2>{text.prompts.empty}</h2>
          <p className="soft">{text.prompts.emptyHelp}</p>
        </div>
      )}
      {drafts.length > 0 && <Drafts drafts={drafts} />}
    </>
  );
}

/** Unfinished tuned models, collapsed at first; all can be deleted at once. */
function Drafts({ drafts }: { drafts: Prompt[] }) {
  const [isAsking, setAsking] = useState(false);
  const remove = useDeletePrompt();
  return (
    <details className="card gap-top">
      <summary>{text.prompts.drafts(drafts.length)}</summary>
      <div className="scroll">
        <PromptTable prompts={drafts} />
      </div>
      <Button className="button danger small-button" onPress={() => setAsking(true)}>
        {text.prompts.removeDrafts(drafts.length)}
      </Button>
      <Confirm
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        title={text.prompts.removeDraftsTitle(drafts.length)}
        body={text.prompts.removeDraftsText}
        keep={text.common.cancel}
        act={text.common.remove}
        onAct={() => drafts.forEach(({ name }) => remove.mutate(idOf(name)))}
      />
    </details>
  );
}

function PromptTable({ prompts }: { prompts: Prompt[] }) {
  const [toDelete, setToDelete] = useState<Prompt>();
  const remove = useDeletePrompt();
  return (
    <>
      <Table heads={HEADS}>
        <tbody>
          {prompts.map((prompt) => (
            <PromptRow key={prompt.name} prompt={prompt} remove={() => setToDelete(prompt)} />
          ))}
        </tbody>
      </Table>
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

function PromptRow({ prompt, remove }: { prompt: Prompt; remove: () => void }) {
  const [, go] = useLocation();
  const id = idOf(prompt.name);
  const address = isDraft(prompt) ? `/new?draft=${id}` : `/prompts/${id}`;
  return (
    <tr>
      <td className="title">
        <Link href={address} dir="auto">
          {prompt.displayName}
        </Link>
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

/** Chooses a prompt file of Google AI Studio, imports it and opens it. */
export function ImportPrompt({ label }: { label: string }) {
  const [, go] = useLocation();
  const importing = useImportPrompt();
  return (
    <FileTrigger
      onSelect={(files) => {
        const file = files?.[0];
        if (file)
          importing.mutate(file, {
            onSuccess: (prompt) => {
              toast(text.prompts.imported(prompt.displayName), { kind: "good" });
              go(`/prompts/${idOf(prompt.name)}`);
            },
            onError: toastError,
          });
      }}
    >
      <Button>{label}</Button>
    </FileTrigger>
  );
}
