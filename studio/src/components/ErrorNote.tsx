import { Button } from "react-aria-components";
import { ApiError, isLost, needsSignIn } from "../api/client";
import { askToSignIn } from "../signInStore";
import { text } from "../text/en";

/** What went wrong, what to do, and the code in small print; without a sign-in it leads there. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (needsSignIn(error)) return <SignInNote why={text.signIn.key} />;
  const known = error instanceof ApiError && !isLost(error) ? error : undefined;
  const message = known?.message ?? text.error.unreachable;
  return (
    <div className="note bad" role="alert">
      <p className="limited">{message}</p>
      <div className="row small">
        {retry && <Button onPress={retry}>{text.error.again}</Button>}
        {known?.status && <span className="soft">{text.error.code(known.status)}</span>}
      </div>
    </div>
  );
}

/** Says that one has to sign in, and opens the dialog. */
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
