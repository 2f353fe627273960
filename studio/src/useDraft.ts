import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { createPrompt, updatePrompt } from "./api/examples";
import { type Draft, EMPTY, type Example, isEmpty, settingsOf } from "./draft";

const KEY = "tunery-draft";
const PAUSE_MS = 800;
const COLUMNS = [
  { prefix: "", isInput: true },
  { prefix: "", isInput: false },
];

type Saving = "nothing" | "saving" | "saved" | "unsaved";
type Kept = { id: string; draft: Draft };

/**
 * The draft of a tuned model: kept in this tab at once, and on the server a moment after the last edit.
 * `keepsOnServer` is false while nobody is signed in: then the tab alone keeps it.
 */
export function useDraft(keepsOnServer: boolean) {
  const [{ id, draft }, setKept] = useState<Kept>(readKept);
  const [saving, setSaving] = useState<Saving>(id ? "saved" : "nothing");
  const [edits, setEdits] = useState(0);
  const client = useQueryClient();
  const latest = useRef({ id, draft });
  const queue = useRef(Promise.resolve()); // one save after the other: the first makes the prompt, the next change it
  useEffect(() => {
    latest.current = { id, draft };
    keep({ id, draft });
  }, [id, draft]);

  const change = useCallback((part: Partial<Draft>) => {
    setKept((before) => ({ ...before, draft: { ...before.draft, ...part } }));
    setEdits((number) => number + 1);
    setSaving("saving");
  }, []);
  /** Take another draft, under the id of the prompt that holds it; without one it is new. */
  const take = useCallback((next: Draft, promptId = "") => {
    setKept({ id: promptId, draft: next });
    setSaving(promptId ? "saved" : "nothing");
    setEdits(promptId || isEmpty(next) ? 0 : 1);
  }, []);

  useEffect(() => {
    if (edits === 0) return;
    const save = async () => {
      if (!keepsOnServer) return setSaving("unsaved");
      try {
        const known = latest.current;
        const body = bodyOf(known.draft);
        const saved = known.id ? await updatePrompt(known.id, body) : await createPrompt(body);
        const savedId = saved.name.split("/")[1] ?? "";
        if (latest.current.id === known.id) latest.current = { ...latest.current, id: savedId };
        setKept((now) => (now.id === known.id ? { ...now, id: savedId } : now));
        setSaving("saved");
        void client.invalidateQueries({ queryKey: ["prompts"] });
      } catch {
        setSaving("unsaved");
      }
    };
    const timer = setTimeout(() => (queue.current = queue.current.then(save)), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [edits, keepsOnServer, client]);

  return { id, draft, saving, change, take };
}

/** The draft as a structured prompt: examples are its rows, the rest stands beside them. */
function bodyOf(draft: Draft) {
  return {
    displayName: draft.displayName.trim().slice(0, 40) || "Untitled draft",
    columns: COLUMNS,
    rows: draft.examples.map(({ textInput, output }) => ({ cells: [textInput, output] })),
    tuning: { ...settingsOf(draft), isDraft: true },
  };
}

function readKept(): Kept {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "") as Kept;
    return { id: kept.id, draft: { ...EMPTY, ...kept.draft } };
  } catch {
    return { id: "", draft: EMPTY };
  }
}

function keep(kept: Kept) {
  try {
    if (isEmpty(kept.draft)) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    sessionStorage.removeItem(KEY); // more than a tab may keep: the server has it
  }
}

/** Put one more example into the draft that this tab keeps, for when the page is opened next. */
export function addToDraft(example: Example): void {
  const { id, draft } = readKept();
  keep({ id, draft: { ...draft, examples: [...draft.examples, example] } });
}
