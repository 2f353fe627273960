import { useState } from "react";
import { Button, MenuTrigger } from "react-aria-components";
import { useLocation } from "wouter";
import { useIsSignedIn } from "../api/account";
import { exportPrompt, type Prompt, useDeletePrompt, usePrompt } from "../api/examples";
import { ActionPopover, RowMenu } from "../components/controls";
import { ConfirmDeletion } from "../components/dialogs";
import { Page, QueryState } from "../components/Page";
import { PromptEditor } from "../components/prompts/PromptEditor";
import { text } from "../components/prompts/text";
import { SignInNote } from "../components/SignIn";
import { toast, toastError } from "../components/toasts";
import { download } from "../transfer";

/** A structured prompt: edit, test, export, tune on it. */
export function PromptPage({ id }: { id: string }) {
  const query = usePrompt(id);
  const isSignedIn = useIsSignedIn();
  const [title, setTitle] = useState<string>();
  const prompt = query.data;
  return (
    <Page
      title={title ?? prompt?.displayName ?? text.prompts.untitled}
      actions={prompt && <Actions id={id} prompt={prompt} />}
    >
      {isSignedIn === false && <SignInNote />}
      <QueryState query={query} />
      {prompt && <PromptEditor key={prompt.name} id={id} prompt={prompt} rename={setTitle} />}
    </Page>
  );
}

const ENDINGS = { csv: ".csv", jsonl: ".jsonl", aistudio: ".json" };

function Actions({ id, prompt }: { id: string; prompt: Prompt }) {
  const [, go] = useLocation();
  const [isDeleting, setToDelete] = useState(false);
  const remove = useDeletePrompt();
  const exports = (Object.keys(ENDINGS) as (keyof typeof ENDINGS)[]).map((format) => ({
    id: format,
    label: text.prompts.exports[format],
    act: () =>
      void exportPrompt(id, format)
        .then((content) => download(prompt.displayName + ENDINGS[format], content))
        .catch(toastError),
  }));
  return (
    <>
      <MenuTrigger>
        <Button>{text.prompts.export}</Button>
        <ActionPopover name={text.prompts.export} actions={exports} />
      </MenuTrigger>
      <RowMenu
        name={prompt.displayName}
        actions={[{ id: "remove", label: text.common.remove, act: () => setToDelete(true), isDanger: true }]}
      />
      <ConfirmDeletion
        isOpen={isDeleting}
        onClose={() => setToDelete(false)}
        name={prompt.displayName}
        body={text.prompts.removeText}
        onAct={() =>
          remove.mutate(id, {
            onSuccess: () => {
              toast(text.removal.done(prompt.displayName));
              go("/prompts");
            },
          })
        }
      />
    </>
  );
}
