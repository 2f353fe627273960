// Structured prompts as text: the preamble, then a line "prefix text" for each column. The server's exports agree.

import type { Prompt } from "./api/prompts";
import type { Example } from "./draft";

type Shape = Pick<Prompt, "preamble" | "columns">;

/** What a model is asked for a row; without preamble and prefixes only the texts themselves. */
export function inputText({ preamble, columns }: Shape, cells: string[], isLabelled = true): string {
  const inputs = columns.flatMap((column, place) => {
    const cell = cells[place] ?? "";
    if (!column.isInput || !cell) return [];
    return [isLabelled ? `${column.prefix} ${cell}`.trim() : cell];
  });
  return (isLabelled && preamble ? [preamble, ...inputs] : inputs).join("\n");
}

/** The examples of a prompt: rows with an input and an output; several outputs become labelled lines. */
export function examplesOf(prompt: Prompt, isLabelled: boolean): Example[] {
  const outputs = prompt.columns.flatMap((column, place) => (column.isInput ? [] : [{ ...column, place }]));
  return (prompt.rows ?? [])
    .filter(({ cells }) => cells.some((cell) => cell.trim()))
    .map(({ cells }) => ({
      textInput: prompt.columns.some(({ isInput }, place) => isInput && cells[place])
        ? inputText(prompt, cells, isLabelled)
        : "",
      output: outputs
        .filter(({ place }) => cells[place])
        .map(({ prefix, place }) => (outputs.length > 1 ? `${prefix} ${cells[place]}`.trim() : cells[place]))
        .join("\n"),
    }));
}
