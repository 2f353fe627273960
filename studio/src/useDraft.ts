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
 * The draft of a tuned model: stored in this tab at once, and on the server shortly after the last edit.
 * `keepsOnServer` is false while nobody is signed in; then only the tab stores it.
 */
export function useDraft(keepsOnServer: boolean) {
  const [{ id, draft }, setKept] = useState<Kept>(readKept);
  const [saving, setSaving] = useState<Saving>(id ? "saved" : "nothing");
  const [edits, setEdits] = useState(0);
  const client = useQueryClient();
  const latest = useRef({ id, draft });
  const queue = useRef(Promise.resolve()); // one save at a time: the first creates the prompt, the others update it
  useEffect(() => {
    latest.current = { id, draft };
    keep({ id, draft });
  }, [id, draft]);

  const change = useCallback((part: Partial<Draft>) => {
    setKept((before) => ({ ...before, draft: { ...before.draft, ...part } }));
    setEdits((number) => number + 1);
    setSaving("saving");
  }, []);
  /** Replace the draft; `promptId` is the prompt that stores it, if any. */
  const replace = useCallback((next: Draft, promptId = "") => {
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

  return { id, draft, saving, change, replace };
}

/** The draft as a structured prompt: the examples as rows, the settings in `tuning`. */
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
    sessionStorage.removeItem(KEY); // too large for the tab's storage; the server has it
  }
}

/** Add an example to the draft that this tab stores. */
export function addToDraft(example: Example): void {
  const { id, draft } = readKept();
  keep({ id, draft: { ...draft, examples: [...draft.examples, example] } });
}

// Examples set aside for a tuned model, to be used when it is tuned again; kept in this tab.

const ASIDE = "tunery-added";
type Aside = Record<string, Example[]>; // by the ID of the model

/** Set an example aside for a model; returns how many there are. */
export function setAside(id: string, example: Example): number {
  const kept = readAside();
  const examples = [...(kept[id] ?? []), example];
  writeAside({ ...kept, [id]: examples });
  return examples.length;
}

/** Return the examples set aside for a model, and forget them. */
export function takeAside(id: string): Example[] {
  const { [id]: examples = [], ...others } = readAside();
  if (examples.length > 0) writeAside(others);
  return examples;
}

function readAside(): Aside {
  try {
    return JSON.parse(sessionStorage.getItem(ASIDE) ?? "{}") as Aside;
  } catch {
    return {};
  }
}

function writeAside(kept: Aside) {
  sessionStorage.setItem(ASIDE, JSON.stringify(kept));
}
