// The rows of the examples grid: problems, and changes to many rows at once.

import { ApiError } from "./api/client";
import type { Example } from "./draft";

/** A problem of a row; the kinds are those of the server. */
export type RowProblem = { kind: string; isError: boolean };
type Limits = { input?: number; output?: number };
type Warning = { kind: string; row?: number };

/** A row that the server refuses, from 1, and why. */
export type Refused = { row: number; message: string };

/** The rows that an error names. */
export function refusedRows(error: unknown): Refused[] {
  if (!(error instanceof ApiError)) return [];
  return error.violations.flatMap(({ field = "", description = "" }) => {
    const [, row] = /^row (\d+)\b/.exec(field) ?? [];
    return row === undefined ? [] : [{ row: Number(row), message: description }];
  });
}

/** The first problem of each row: a bad cell, what the server refuses, or its warning. Its rows count from 1. */
export function rowProblems(
  rows: Example[],
  { input = Infinity, output = Infinity }: Limits,
  warnings: Warning[] = [],
  refused: Refused[] = [],
): (RowProblem | undefined)[] {
  const warned = new Map(warnings.toReversed().map(({ row, kind }) => [row, { kind, isError: false }]));
  const isRefused = new Set(refused.map(({ row }) => row));
  return rows.map((row, place) => {
    const kind = cellProblem(row.textInput, "input", input) ?? cellProblem(row.output, "output", output);
    if (kind) return { kind, isError: true };
    return isRefused.has(place + 1) ? { kind: "refused", isError: true } : warned.get(place + 1);
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
