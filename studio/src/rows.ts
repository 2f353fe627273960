// The rows of the examples grid: what is wrong with each, and changes to many at once. Pure functions.

import type { Example } from "./draft";

export type RowProblem = "emptyInput" | "emptyOutput" | "longInput" | "longOutput" | "cut" | "contradiction" | "double";

type Limits = { input: number; output: number };

const ERRORS: RowProblem[] = ["emptyInput", "emptyOutput", "longInput", "longOutput"];

/** The first problem of each row, the worst first; `cut` are rows, counted from 1, that the window shortens. */
export function rowProblems(rows: Example[], limits: Limits, cut: number[] = []): (RowProblem | undefined)[] {
  const outputs = new Map<string, Set<string>>();
  for (const { textInput, output } of rows) {
    const known = outputs.get(textInput) ?? new Set();
    outputs.set(textInput, known.add(output));
  }
  const before = new Set<string>();
  const isCut = new Set(cut);
  return rows.map(({ textInput, output }, place) => {
    const pair = JSON.stringify([textInput, output]);
    const isDouble = before.has(pair);
    before.add(pair);
    if (!textInput.trim()) return "emptyInput";
    if (!output.trim()) return "emptyOutput";
    if (textInput.length > limits.input) return "longInput";
    if (output.length > limits.output) return "longOutput";
    if (isCut.has(place + 1)) return "cut";
    if ((outputs.get(textInput)?.size ?? 0) > 1) return "contradiction";
    return isDouble ? "double" : undefined;
  });
}

export const isError = (problem: RowProblem | undefined) => problem !== undefined && ERRORS.includes(problem);

export function withoutRows(rows: Example[], places: ReadonlySet<number>): Example[] {
  return rows.filter((_, place) => !places.has(place));
}

/** Each of the rows once more, right behind itself. */
export function withDuplicates(rows: Example[], places: ReadonlySet<number>): Example[] {
  return rows.flatMap((row, place) => (places.has(place) ? [row, { ...row }] : [row]));
}

/** Each pair of input and output once, where it came first. */
export function unique(rows: Example[]): Example[] {
  const seen = new Set<string>();
  return rows.filter(({ textInput, output }) => {
    const pair = JSON.stringify([textInput, output]);
    return seen.has(pair) ? false : Boolean(seen.add(pair));
  });
}

export function withRow(rows: Example[], place: number, row: Example): Example[] {
  return rows.map((known, other) => (other === place ? row : known));
}

const MAX_LABELS = 40;

/** How often each output occurs, if they repeat as labels do; undefined if this is no classification. */
export function labels(rows: Example[]): [string, number][] | undefined {
  if (rows.length < 8) return undefined;
  const counts = new Map<string, number>();
  for (const { output } of rows) counts.set(output, (counts.get(output) ?? 0) + 1);
  if (counts.size > MAX_LABELS || counts.size * 3 > rows.length || counts.size < 2) return undefined;
  return [...counts].sort((a, b) => b[1] - a[1]);
}

const MIN_CHARACTERS = 3;

/** What all inputs begin with, up to the end of a line or of a label such as "input:"; empty if there is nothing. */
export function commonBeginning(inputs: string[]): string {
  const [first = "", ...others] = inputs;
  if (others.length === 0) return "";
  let end = first.length;
  for (const other of others) {
    let same = 0;
    while (same < end && first[same] === other[same]) same += 1;
    end = same;
  }
  const common = first.slice(0, end);
  const border = Math.max(common.lastIndexOf("\n") + 1, common.lastIndexOf(": ") + 2, labelEnd(common));
  const beginning = common.slice(0, border);
  return beginning.trim().length >= MIN_CHARACTERS ? beginning : "";
}

function labelEnd(common: string) {
  return common.endsWith(":") ? common.length : 0;
}
