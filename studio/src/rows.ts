// The rows of the examples grid: problems, and changes to many rows at once.

import type { Example } from "./draft";

/** A problem of a row; the kinds are those of the server. */
export type RowProblem = { kind: string; isError: boolean };
type Limits = { input?: number; output?: number };
type Warning = { kind: string; row?: number };

/** The first problem of each row: an empty or overlong cell, else a warning of the server, whose rows count from 1. */
export function rowProblems(
  rows: Example[],
  { input = Infinity, output = Infinity }: Limits,
  warnings: Warning[] = [],
): (RowProblem | undefined)[] {
  const warned = new Map(warnings.toReversed().map(({ row, kind }) => [row, { kind, isError: false }]));
  return rows.map((row, place) => {
    const kind = cellProblem(row.textInput, "input", input) ?? cellProblem(row.output, "output", output);
    return kind ? { kind, isError: true } : warned.get(place + 1);
  });
}

function cellProblem(cell: string, name: string, limit: number): string | undefined {
  if (!cell.trim()) return `empty-${name}`;
  return cell.length > limit ? `long-${name}` : undefined;
}

export function withoutRows(rows: Example[], places: ReadonlySet<number>): Example[] {
  return rows.filter((_, place) => !places.has(place));
}

/** Each of these rows twice in a row. */
export function withDuplicates(rows: Example[], places: ReadonlySet<number>): Example[] {
  return rows.flatMap((row, place) => (places.has(place) ? [row, { ...row }] : [row]));
}

/** Each pair of input and output once, in its first place. */
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

/** How often each output occurs if the outputs look like labels, else undefined. */
export function labels(rows: Example[]): [string, number][] | undefined {
  if (rows.length < 8) return undefined;
  const counts = new Map<string, number>();
  for (const { output } of rows) counts.set(output, (counts.get(output) ?? 0) + 1);
  if (counts.size > MAX_LABELS || counts.size * 3 > rows.length || counts.size < 2) return undefined;
  return [...counts].sort((a, b) => b[1] - a[1]);
}

const MIN_CHARACTERS = 3;

/** What all inputs start with, up to the end of a line or of a label such as "input:"; may be empty. */
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
