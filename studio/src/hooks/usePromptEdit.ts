import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { updatePrompt, type Prompt } from "../api/prompts";

const PAUSE_MS = 700;

export type PromptParts = Pick<Prompt, "displayName" | "preamble" | "columns"> & {
  rows: string[][];
  testRows: string[][];
};
export type PromptSaving = "saved" | "saving" | "unsaved";

/** A prompt under edit: kept on the server a moment after the last change, and when the page is left. */
export function usePromptEdit(id: string, prompt: Prompt) {
  const [parts, setParts] = useState<PromptParts>(() => partsOf(prompt));
  const [saving, setSaving] = useState<PromptSaving>("saved");
  const client = useQueryClient();
  const unsaved = useRef<PromptParts>(undefined);
  const save = useRef<() => Promise<void>>(undefined);
  useEffect(() => {
    save.current = async () => {
      const latest = unsaved.current;
      if (!latest) return;
      unsaved.current = undefined;
      try {
        client.setQueryData(["prompt", id], await updatePrompt(id, bodyOf(latest)));
        setSaving(unsaved.current ? "saving" : "saved");
        void client.invalidateQueries({ queryKey: ["prompts"] });
      } catch {
        unsaved.current ??= latest;
        setSaving("unsaved");
      }
    };
  }, [client, id]);
  useEffect(() => {
    const timer = setTimeout(() => void save.current?.(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [parts]);
  useEffect(() => () => void save.current?.(), []);
  function change(part: Partial<PromptParts>) {
    setParts((before) => {
      const next = { ...before, ...part };
      unsaved.current = next;
      return next;
    });
    setSaving("saving");
  }
  return { parts, saving, change };
}

function partsOf({ displayName, preamble, columns, rows = [], testRows = [] }: Prompt): PromptParts {
  return {
    displayName,
    preamble,
    columns,
    rows: rows.map(({ cells }) => cells),
    testRows: testRows.map(({ cells }) => cells),
  };
}

function bodyOf({ displayName, rows, testRows, ...rest }: PromptParts) {
  return {
    ...rest,
    ...(displayName.trim() && { displayName: displayName.trim() }),
    rows: rows.map((cells) => ({ cells })),
    testRows: testRows.map((cells) => ({ cells })),
  };
}
