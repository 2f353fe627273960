import { useQueryClient } from "@tanstack/react-query";
import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import { useIsSignedIn } from "../api/account";
import { createPrompt } from "../api/examples";
import { idOf } from "../api/client";
import { Page } from "../components/Page";
import { ImportPrompt, PromptList } from "../components/prompts/PromptList";
import { text } from "../components/prompts/text";
import { SignInNote } from "../components/SignIn";
import { toastError } from "../components/toasts";

const COLUMNS = [
  { prefix: "input:", isInput: true },
  { prefix: "output:", isInput: false },
];

/** The user's structured prompts, and buttons to create or import one. */
export function Prompts() {
  const [, go] = useLocation();
  const isSignedIn = useIsSignedIn();
  const client = useQueryClient();
  async function create() {
    const body = { displayName: text.prompts.untitled, columns: COLUMNS, rows: [{ cells: ["", ""] }] };
    const prompt = await createPrompt(body);
    void client.invalidateQueries({ queryKey: ["prompts"] });
    go(`/prompts/${idOf(prompt.name)}`);
  }
  const actions = isSignedIn && (
    <>
      <ImportPrompt label={text.prompts.import} />
      <Button className="button primary" onPress={() => void create().catch(toastError)}>
        {text.prompts.create}
      </Button>
    </>
  );
  return (
    <Page title={text.prompts.title} actions={actions}>
      {isSignedIn === false && <SignInNote />}
      {isSignedIn && <PromptList />}
    </Page>
  );
}
