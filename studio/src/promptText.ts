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

/** What a model shall answer to a row; several outputs become labelled lines. */
export function outputText({ columns }: Pick<Shape, "columns">, cells: string[]): string {
  const outputs = columns.flatMap(({ prefix, isInput }, place) =>
    isInput ? [] : [{ prefix, cell: cells[place] ?? "" }],
  );
  return outputs
    .filter(({ cell }) => cell)
    .map(({ prefix, cell }) => (outputs.length > 1 ? `${prefix} ${cell}`.trim() : cell))
    .join("\n");
}

/** The examples of a prompt: rows that have any text. */
export function examplesOf(prompt: Prompt, isLabelled: boolean): Example[] {
  const hasInput = (cells: string[]) => prompt.columns.some(({ isInput }, place) => isInput && cells[place]);
  return (prompt.rows ?? [])
    .filter(({ cells }) => cells.some((cell) => cell.trim()))
    .map(({ cells }) => ({
      textInput: hasInput(cells) ? inputText(prompt, cells, isLabelled) : "",
      output: outputText(prompt, cells),
    }));
}
