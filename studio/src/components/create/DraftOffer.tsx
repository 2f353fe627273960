import { useState } from "react";
import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import { isDraft, type Prompt, useDeletePrompt, usePrompts } from "../../api/examples";
import { idOf } from "../../api/client";
import { ConfirmDeletion } from "../dialogs";
import { Ago } from "../Facts";
import { text } from "./text";

const SHOWN = 3;

/** The drafts of this user from other tabs and earlier visits, the newest first, while the form is empty. */
export function DraftOffer() {
  const drafts = (usePrompts().data ?? []).filter(isDraft);
  const [showsAll, setShowsAll] = useState(false);
  const [newest] = drafts;
  if (!newest) return null;
  const more = drafts.length - SHOWN;
  return (
    <section className="note stack tight drafts" aria-labelledby="drafts">
      <h2 id="drafts">{text.create.drafts(drafts.length)}</h2>
      <ul className="plain-list stack tight">
        {(showsAll ? drafts : drafts.slice(0, SHOWN)).map((draft) => (
          <OfferedDraft key={draft.name} draft={draft} isNewest={draft === newest} />
        ))}
      </ul>
      {more > 0 && !showsAll && (
        <div>
          <Button className="button quiet small-button" onPress={() => setShowsAll(true)}>
            {text.create.moreDrafts(more)}
          </Button>
        </div>
      )}
    </section>
  );
}

function OfferedDraft({ draft, isNewest }: { draft: Prompt; isNewest: boolean }) {
  const [, go] = useLocation();
  const [isAsking, setAsking] = useState(false);
  const remove = useDeletePrompt();
  const { name, displayName, rowCount, updateTime } = draft;
  return (
    <li className="row spread">
      <span>
        <strong dir="auto">{displayName}</strong>{" "}
        <span className="soft">
          {text.import.found(rowCount)}, <Ago time={updateTime} />
        </span>
      </span>
      <span className="row">
        <Button
          className={`button small-button${isNewest ? " primary" : ""}`}
          aria-label={text.create.continueDraft(displayName)}
          onPress={() => go(`/new?draft=${idOf(name)}`)}
        >
          {text.create.continue}
        </Button>
        <Button
          className="button quiet small-button"
          aria-label={text.create.removeNamed(displayName)}
          onPress={() => setAsking(true)}
        >
          {text.common.remove}
        </Button>
      </span>
      <ConfirmDeletion
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        name={displayName}
        body={text.create.removeDraft}
        onAct={() => remove.mutate(idOf(name))}
      />
    </li>
  );
}
