// Structured prompts as text (the preamble, then a line "prefix text" for each column, as in the server's exports) and
// while they are edited.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type Prompt, updatePrompt } from "./api/examples";
import type { Example } from "./draft";

type Shape = Pick<Prompt, "preamble" | "columns">;

/** The input text of a row; `isLabelled` includes preamble and prefixes. */
export function inputText({ preamble, columns }: Shape, cells: string[], isLabelled = true): string {
  const inputs = columns.flatMap((column, place) => {
    const cell = cells[place] ?? "";
    if (!column.isInput || !cell) return [];
    return [isLabelled ? `${column.prefix} ${cell}`.trim() : cell];
  });
  return (isLabelled && preamble ? [preamble, ...inputs] : inputs).join("\n");
}

/** The output text of a row; several outputs become labelled lines. */
export function outputText({ columns }: Pick<Shape, "columns">, cells: string[]): string {
  const outputs = columns.flatMap(({ prefix, isInput }, place) =>
    isInput ? [] : [{ prefix, cell: cells[place] ?? "" }],
  );
  return outputs
    .filter(({ cell }) => cell)
    .map(({ prefix, cell }) => (outputs.length > 1 ? `${prefix} ${cell}`.trim() : cell))
    .join("\n");
}

/** The examples of a prompt, from its rows that are not empty. */
export function examplesOf(prompt: Prompt, isLabelled: boolean): Example[] {
  const hasInput = (cells: string[]) => prompt.columns.some(({ isInput }, place) => isInput && cells[place]);
  return (prompt.rows ?? [])
    .filter(({ cells }) => cells.some((cell) => cell.trim()))
    .map(({ cells }) => ({
      textInput: hasInput(cells) ? inputText(prompt, cells, isLabelled) : "",
      output: outputText(prompt, cells),
    }));
}

const PAUSE_MS = 700;

export type PromptParts = Pick<Prompt, "displayName" | "preamble" | "columns"> & {
  rows: string[][];
  testRows: string[][];
};
type PromptSaving = "saved" | "saving" | "unsaved";

/** A prompt being edited, saved shortly after the last change and when the page is left. */
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
