import { useEffect, useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";
import { useMe, useSignIn } from "../api/account";
import { ApiError } from "../api/client";
import { closeSignIn, useSignInReason } from "../signInStore";
import { text } from "../text/en";
import { toast } from "../toasts";
import { Window } from "./Window";

/** Signs in over the page: with a password here, or with a link in another tab; the page stays as it is. */
export function SignInDialog() {
  const reason = useSignInReason();
  const user = useMe().data?.user;
  const isOpen = reason !== undefined;
  useEffect(() => {
    if (!isOpen || !user) return; // also after a link in another tab
    closeSignIn();
    toast(text.signIn.done(text.signIn.you(user)), { kind: "good" });
  }, [isOpen, user]);
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
      <TextField value={user} onChange={setUser} autoComplete="username" isRequired>
        <Label>{text.signIn.user}</Label>
        <Input />
      </TextField>
      <TextField
        value={password}
        onChange={setPassword}
        type="password"
        autoComplete="current-password"
        isRequired
      >
        <Label>{text.signIn.password}</Label>
        <Input />
      </TextField>
      <div className="row end">
        <Button onPress={closeSignIn}>{text.signIn.cancel}</Button>
        <Button type="submit" className="button primary" isDisabled={signIn.isPending}>
          {text.signIn.title}
        </Button>
      </div>
    </form>
  );
}
