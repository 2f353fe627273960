// Examples that the user has set aside for a tuned model, to be tuned on when it is tuned again; kept in this tab.

import type { Example } from "./draft";

const KEY = "tunery-added";
type Kept = Record<string, Example[]>; // by the ID of the model

/** Set an example aside for a model; returns how many there are. */
export function setAside(id: string, example: Example): number {
  const kept = read();
  const examples = [...(kept[id] ?? []), example];
  write({ ...kept, [id]: examples });
  return examples.length;
}

/** The examples set aside for a model, which are then no longer kept. */
export function takeAside(id: string): Example[] {
  const { [id]: examples = [], ...others } = read();
  if (examples.length > 0) write(others);
  return examples;
}

function read(): Kept {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "{}") as Kept;
  } catch {
    return {};
  }
}

function write(kept: Kept) {
  sessionStorage.setItem(KEY, JSON.stringify(kept));
}
