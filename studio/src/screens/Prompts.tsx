import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Button, FileTrigger } from "react-aria-components";
import { useLocation, useSearch } from "wouter";
import { useIsSignedIn } from "../api/account";
import { createPrompt, useImportPrompt } from "../api/examples";
import { idOf } from "../api/client";
import { ErrorNote, Page } from "../components/Page";
import { PromptList } from "../components/prompts/PromptList";
import { text } from "../components/prompts/text";
import { SignInNote } from "../components/SignIn";
import { toast, toastError } from "../components/toasts";

const COLUMNS = [
  { prefix: "input:", isInput: true },
  { prefix: "output:", isInput: false },
];

/** The user's structured prompts, and buttons to create or import one. */
export function Prompts() {
  const [, go] = useLocation();
  const isSignedIn = useIsSignedIn();
  const client = useQueryClient();
  const importing = useImportPrompt();
  const wantsImport = new URLSearchParams(useSearch()).has("import");
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (wantsImport && isSignedIn) button.current?.focus();
  }, [wantsImport, isSignedIn]);
  async function create() {
    const body = { displayName: text.prompts.untitled, columns: COLUMNS, rows: [{ cells: ["", ""] }] };
    const prompt = await createPrompt(body);
    void client.invalidateQueries({ queryKey: ["prompts"] });
    go(`/prompts/${idOf(prompt.name)}`);
  }
  const actions = isSignedIn && (
    <>
      <FileTrigger
        onSelect={(files) => {
          const file = files?.[0];
          if (file)
            importing.mutate(file, {
              onSuccess: (prompt) => {
                toast(text.prompts.imported(prompt.displayName), { kind: "good" });
                go(`/prompts/${idOf(prompt.name)}`);
              },
            });
        }}
      >
        <Button ref={button}>{text.prompts.import}</Button>
      </FileTrigger>
      <Button className="button primary" onPress={() => void create().catch(toastError)}>
        {text.prompts.create}
      </Button>
    </>
  );
  return (
    <Page title={text.prompts.title} actions={actions}>
      {isSignedIn === false && <SignInNote />}
      {importing.isError && <ErrorNote error={importing.error} />}
      {isSignedIn && <PromptList />}
    </Page>
  );
}
