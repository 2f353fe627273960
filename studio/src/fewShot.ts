// Structured prompts as AI Studio ran them: the preamble, the rows as examples, then the row to be answered.

import { DEFAULTS, type RunSettings } from "./api/answers";
import { ApiError, send } from "./api/client";
import { inputText, outputText, type PromptParts } from "./prompt";

type Shape = Pick<PromptParts, "preamble" | "columns">;

/** The rows that are whole examples, each with its number in the grid. */
export function shownRows({
  columns,
  rows,
}: Pick<PromptParts, "columns" | "rows">): { number: number; cells: string[] }[] {
  const isWhole = (cells: string[]) =>
    [true, false].every((wanted) => columns.some(({ isInput }, place) => isInput === wanted && cells[place]?.trim()));
  return rows.map((cells, place) => ({ number: place + 1, cells })).filter(({ cells }) => isWhole(cells));
}

/** The text of a prompt with these rows as examples; it ends where the answer begins. */
export function fewShotText(shape: Shape, rows: string[][], cells: string[]): string {
  const { preamble, columns } = shape;
  const plain = { preamble: "", columns };
  const examples = rows.map((row) => [inputText(plain, row), labelledOutputs(shape, row)].filter(Boolean).join("\n"));
  const answer = columns.find(({ isInput }) => !isInput)?.prefix ?? "";
  return [preamble, ...examples, inputText(plain, cells), answer].filter(Boolean).join("\n");
}

function labelledOutputs({ columns }: Shape, cells: string[]): string {
  const lines = columns.flatMap(({ prefix, isInput }, place) =>
    !isInput && cells[place] ? [`${prefix} ${cells[place]}`.trim()] : [],
  );
  return lines.join("\n") || outputText({ columns }, cells);
}

/** The settings of a run; with examples, the answer ends where the model would continue with another row. */
export function settingsFor({ columns }: Shape, hasExamples: boolean): RunSettings {
  const prefix = columns.find(({ isInput }) => isInput)?.prefix.trim();
  return hasExamples && prefix ? { ...DEFAULTS, stopSequences: [`\n${prefix}`] } : DEFAULTS;
}

export type Run = { prompt: string; settings: RunSettings; left: number[] }; // rows that did not fit

/** The prompt for a test row, with as many rows, starting from the first, as leave room for the answer. */
export async function runOf(model: string, parts: PromptParts, cells: string[], showsRows: boolean): Promise<Run> {
  const rows = showsRows ? shownRows(parts) : [];
  const textOf = (some: number) =>
    some === 0 && !showsRows
      ? inputText(parts, cells)
      : fewShotText(
          parts,
          rows.slice(0, some).map((row) => row.cells),
          cells,
        );
  const some = rows.length === 0 ? 0 : await mostThatFit(model, rows.length, textOf);
  return {
    prompt: textOf(some),
    settings: settingsFor(parts, some > 0),
    left: rows.slice(some).map(({ number }) => number),
  };
}

/** The largest number of rows that leaves room for an answer, found by counting the tokens of only a few prompts. */
async function mostThatFit(model: string, all: number, textOf: (some: number) => string): Promise<number> {
  if (await fits(model, textOf(all))) return all;
  let [least, most] = [0, all - 1]; // `least` rows fit, more than `most` do not
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (await fits(model, textOf(middle))) least = middle;
    else most = middle - 1;
  }
  return least;
}

/** Whether the prompt and an answer fit into the window; the server refuses to count a prompt that does not. */
async function fits(model: string, prompt: string): Promise<boolean> {
  const room = "\n" + "x ".repeat(DEFAULTS.maxOutputTokens); // at least a token for each word of the answer
  try {
    await send("POST", `/v1beta/${model}:countTokens`, { contents: [{ parts: [{ text: prompt + room }] }] });
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.code === 400) return false;
    throw error;
  }
}
