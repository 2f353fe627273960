import { Button } from "react-aria-components";
import { signOut, useMe } from "../api/account";
import { askToSignIn } from "../signInStore";
import { text } from "../text/en";

/** Who is signed in, with the way out; or the way in. */
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
