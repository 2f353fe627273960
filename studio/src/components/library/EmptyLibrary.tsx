import { Button, MenuTrigger } from "react-aria-components";
import { Link, useLocation } from "wouter";
import { SAMPLES } from "../../samples";
import { text } from "../../text/en";
import { ActionPopover } from "../RowMenu";

/** What a new user sees: the three ways to the first tuned model. */
export function EmptyLibrary() {
  const [, go] = useLocation();
  const samples = SAMPLES.map((id) => ({
    id,
    label: text.samples[id].name,
    act: () => go(`/new?sample=${id}`),
  }));
  return (
    <div className="card empty">
      <h2>{text.library.empty}</h2>
      <p className="soft">{text.library.emptyHelp}</p>
      <div className="row center">
        <Link className="button primary" href="/new">
          {text.nav.create}
        </Link>
        <MenuTrigger>
          <Button>{text.library.trySample}</Button>
          <ActionPopover name={text.library.trySample} actions={samples} />
        </MenuTrigger>
        <Link className="button" href="/prompts?import=1">
          {text.library.importPrompt}
        </Link>
      </div>
    </div>
  );
}
