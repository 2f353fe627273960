import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Button } from "react-aria-components";
import { signOut, useMe, useSignIn } from "../api/account";
import { ApiError, isSignedOut, type Schemas } from "../api/client";
import { TextInput } from "./controls";
import { Window } from "./dialogs";
import { text } from "./text";
import { toast } from "./toasts";

/** Signs in without leaving the page: with a password here, or with a link in another tab. */
export function SignInDialog() {
  const reason = useSignInReason();
  const { data, dataUpdatedAt } = useMe();
  const client = useQueryClient();
  const opened = useRef(0);
  const isOpen = reason !== undefined;
  const user = data?.user;
  useEffect(() => {
    if (!isOpen) return;
    opened.current = Date.now();
    void client.invalidateQueries({ queryKey: ["me"] }); // the user may no longer be signed in
  }, [isOpen, client]);
  useEffect(() => {
    if (!isOpen || !user || dataUpdatedAt < opened.current) return; // also happens after a link in another tab
    closeSignIn();
    toast(text.signIn.done(user), { kind: "good" });
  }, [isOpen, user, dataUpdatedAt]);
  return (
    <Window title={text.signIn.title} isOpen={isOpen} onClose={closeSignIn}>
      <p>
        {reason || text.signIn.help} {reason && text.signIn.kept}
      </p>
      <PasswordForm />
      <p className="soft small">{text.signIn.link}</p>
    </Window>
  );
}

function PasswordForm() {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const signIn = useSignIn();
  const error = signIn.error;
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        signIn.mutate({ user, password });
      }}
    >
      {error && (
        <p className="note bad" role="alert">
          {error instanceof ApiError && error.code !== 401 ? error.message : text.signIn.wrong}
        </p>
      )}
      <TextInput label={text.signIn.user} value={user} change={setUser} autoComplete="username" isRequired />
      <TextInput
        label={text.signIn.password}
        value={password}
        change={setPassword}
        type="password"
        autoComplete="current-password"
        isRequired
      />
      <div className="row end">
        <Button onPress={closeSignIn}>{text.signIn.cancel}</Button>
        <Button type="submit" className="button primary" isDisabled={signIn.isPending}>
          {text.signIn.title}
        </Button>
      </div>
    </form>
  );
}

/** The signed-in user and a button to sign out, or a button to sign in. */
export function Account() {
  const me = useMe().data;
  if (!me) return null;
  if (!me.user) return <Button onPress={() => askToSignIn()}>{text.signIn.title}</Button>;
  return (
    <div className="small account">
      <div className="soft">{text.signIn.you(me.user)}</div>
      <Button className="button quiet" onPress={() => void signOut()}>
        {text.signIn.out}
      </Button>
    </div>
  );
}

/** A note that signing in is needed, with the button that opens the dialog. */
export function SignInNote({ why = text.signIn.help }: { why?: string }) {
  return (
    <div className="note" role="alert">
      <p>{why}</p>
      <Button className="button primary" onPress={() => askToSignIn()}>
        {text.signIn.title}
      </Button>
    </div>
  );
}

/** Forget the user and ask to sign in again if an error says that the session has ended. */
export function endSession(client: QueryClient, error: unknown): void {
  const me = client.getQueryData<Schemas["MeMessage"]>(["me"]);
  if (!me?.user || !isSignedOut(error)) return;
  client.setQueryData(["me"], { ...me, user: undefined });
  askToSignIn(text.signIn.ended);
}

let reason: string | undefined;
const listeners = new Set<() => void>();

/** Open the sign-in dialog. */
export function askToSignIn(why = ""): void {
  set(why);
}

function closeSignIn(): void {
  set(undefined);
}

function useSignInReason(): string | undefined {
  return useSyncExternalStore(subscribe, () => reason);
}

function set(next: string | undefined) {
  reason = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
