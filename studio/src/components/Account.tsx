import { Button } from "react-aria-components";
import { signInAddress, signOut, useMe } from "../api/account";
import { text } from "../text/en";

/** Who is signed in, with the way out; or the way in. */
export function Account() {
  const me = useMe().data;
  if (!me) return null;
  if (!me.user) {
    return (
      <a className="button" href={signInAddress()}>
        {text.signIn.title}
      </a>
    );
  }
  return (
    <div className="small">
      <div className="soft">{me.user}</div>
      <Button className="button quiet" onPress={() => void signOut()}>
        {text.signIn.out}
      </Button>
    </div>
  );
}
