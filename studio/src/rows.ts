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
