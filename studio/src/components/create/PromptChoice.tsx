import { useState } from "react";
import { Link } from "wouter";
import { idOf } from "../../api/models";
import { usePrompts } from "../../api/prompts";
import { text } from "../../text/en";
import { Skeleton } from "../Skeleton";
import { Window } from "../Window";

/** Choose a structured prompt whose rows become the examples. */
export function PromptChoice({ onClose }: { onClose: () => void }) {
  const query = usePrompts();
  const prompts = (query.data ?? []).filter(({ tuning }) => tuning?.isDraft !== true);
  const [isLabelled, setLabelled] = useState(true);
  return (
    <Window title={text.import.prompt} isOpen onClose={onClose}>
      {query.isPending && <Skeleton />}
      {query.isSuccess && prompts.length === 0 && <p className="soft">{text.import.noPrompts}</p>}
      <label className="row">
        <input type="checkbox" checked={isLabelled} onChange={() => setLabelled(!isLabelled)} />
        {text.prompts.include}
      </label>
      <ul className="choices">
        {prompts.map(({ name, displayName, rowCount }) => (
          <li key={name}>
            <Link href={`/new?prompt=${idOf(name)}${isLabelled ? "" : "&plain=1"}`} onClick={onClose}>
              {displayName}
            </Link>
            <span className="small soft">{text.prompts.rows(rowCount)}</span>
          </li>
        ))}
      </ul>
    </Window>
  );
}
