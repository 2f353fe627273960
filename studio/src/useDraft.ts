import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError } from "./api/client";
import { createPrompt, deletePrompt, isChangedElsewhere, updatePrompt } from "./api/examples";
import { type Draft, EMPTY, type Example, isEmpty, settingsOf } from "./draft";

const KEY = "tunery-draft";
const PAUSE_MS = 800;
const COLUMNS = [
  { prefix: "", isInput: true },
  { prefix: "", isInput: false },
];

type Saving = "nothing" | "saving" | "saved" | "unsaved" | "changedElsewhere";
type Stored = { id: string; time: string }; // the prompt that stores a draft, and its updateTime

// They outlive the page, which may be left and opened again while a save is under way. Another draft gets another
// object, so a late save finds its own.
let stored: Stored = { id: "", time: "" };
let queue = Promise.resolve(); // one save at a time: the first creates the prompt, the others update it

/**
 * The draft of a tuned model: stored in this tab at once, and on the server shortly after the last edit.
 * `keepsOnServer` is false while nobody is signed in; then only the tab stores it.
 */
export function useDraft(keepsOnServer: boolean) {
  const [draft, setDraft] = useState(keptDraft);
  const [saving, setSaving] = useState<Saving>(stored.id ? "saved" : "nothing");
  const [edits, setEdits] = useState(0);
  const client = useQueryClient();
  const latest = useRef(draft);
  useEffect(() => {
    latest.current = draft;
    keep({ ...stored, draft });
  }, [draft]);

  const change = useCallback((part: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...part }));
    setEdits((number) => number + 1);
    setSaving("saving");
  }, []);
  /** Store the draft as one of its own from now on. */
  const keepAsCopy = useCallback(() => {
    stored = { id: "", time: "" };
    setEdits((number) => number + 1);
    setSaving("saving");
  }, []);
  /** Replace the draft; `promptId` is the prompt that stores it, if any. */
  const replace = useCallback((next: Draft, promptId = "", updateTime = "") => {
    stored = { id: promptId, time: updateTime };
    setDraft(next);
    setSaving(promptId ? "saved" : "nothing");
    setEdits((number) => (promptId || isEmpty(next) ? 0 : number + 1));
  }, []);
  /** Start empty, and delete the prompt that stores the draft, also one that is still being created. */
  const discard = useCallback(() => {
    const discarded = stored;
    replace(EMPTY);
    queue = queue.then(async () => {
      if (discarded.id) await deletePrompt(discarded.id).catch(() => undefined);
      void client.invalidateQueries({ queryKey: ["prompts"] });
    });
  }, [replace, client]);

  useEffect(() => {
    if (edits === 0) return;
    const own = stored;
    const save = async () => {
      if (own !== stored) return;
      if (!keepsOnServer) return setSaving("unsaved");
      try {
        const body = bodyOf(latest.current);
        const prompt = (own.id && (await updated(own, body))) || (await createPrompt(body));
        own.id = prompt.name.split("/")[1] ?? "";
        own.time = prompt.updateTime;
        void client.invalidateQueries({ queryKey: ["prompts"] });
        if (own !== stored) return;
        keep({ ...own, draft: readKept().draft });
        setSaving("saved");
      } catch (error) {
        if (own === stored) setSaving(isChangedElsewhere(error) ? "changedElsewhere" : "unsaved");
      }
    };
    const timer = setTimeout(() => (queue = queue.then(save)), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [edits, keepsOnServer, client]);

  return { id: stored.id, draft, saving, change, replace, discard, keepAsCopy };
}

/** The prompt after an update; undefined if it is gone, as after tuning in another tab. */
async function updated({ id, time }: Stored, body: ReturnType<typeof bodyOf>) {
  try {
    return await updatePrompt(id, body, time);
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) return undefined;
    throw error;
  }
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

type Kept = Stored & { draft: Draft };

/** The draft of this tab as the page opens. */
function keptDraft(): Draft {
  const { draft, ...of } = readKept();
  const isUnknown = of.id !== stored.id && of.id !== ""; // after a reload
  if (isUnknown || isEmpty(draft)) stored = of;
  return draft;
}

function readKept(): Kept {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "") as Kept;
    return { id: kept.id, time: kept.time ?? "", draft: { ...EMPTY, ...kept.draft } };
  } catch {
    return { id: "", time: "", draft: EMPTY };
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
  const { draft, ...of } = readKept();
  if (isEmpty(draft)) stored = of; // a draft that is too large for the tab keeps its own prompt
  keep({ ...of, draft: { ...draft, examples: [...draft.examples, example] } });
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
