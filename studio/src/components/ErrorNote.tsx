import { Button } from "react-aria-components";
import { ApiError } from "../api/client";
import { signInAddress } from "../api/account";
import { text } from "../text/en";

/** What went wrong, what to do, and the code in small print; without a sign-in it leads there. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const known = error instanceof ApiError ? error : undefined;
  const needsSignIn = known?.code === 401 || known?.message.startsWith("Method doesn't allow");
  return (
    <div className={needsSignIn ? "note" : "note bad"} role="alert">
      <p>{needsSignIn ? text.signIn.help : (known?.message ?? text.error.lost)}</p>
      <div className="row small">
        {needsSignIn && (
          <a className="button primary" href={signInAddress()}>
            {text.signIn.title}
          </a>
        )}
        {retry && <Button onPress={retry}>{text.error.again}</Button>}
        {known?.status && !needsSignIn && <span className="soft">{text.error.code(known.status)}</span>}
      </div>
    </div>
  );
}
