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

/** The first problem of each row: a bad cell, the server's refusal, or its warning. The server counts rows from 1. */
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

/** A row of a grid: one text for each of its columns. */
export type Cells = readonly string[];

export function withoutRows<Row>(rows: readonly Row[], places: ReadonlySet<number>): Row[] {
  return rows.filter((_, place) => !places.has(place));
}

/** These rows, each followed by a copy. */
export function withDuplicates<Row>(rows: readonly Row[], places: ReadonlySet<number>): Row[] {
  return rows.flatMap((row, place) => (places.has(place) ? [row, row] : [row]));
}

/** Each row once, at its first place. */
export function unique<Row>(rows: readonly Row[]): Row[] {
  const seen = new Set<string>();
  return rows.filter((row) => {
    const key = JSON.stringify(row);
    return seen.has(key) ? false : Boolean(seen.add(key));
  });
}

/** The list with the item at this place replaced. */
export function withRow<Item>(items: readonly Item[], place: number, item: Item): Item[] {
  return items.map((known, other) => (other === place ? item : known));
}

const LEAST_SHARE = 0.15;

/** The widths of columns after moving the border between a column and the next by a share of both. */
export function withBorder(widths: readonly number[], column: number, share: number): number[] {
  const place = Math.min(column, widths.length - 2);
  const [left = 1, right = 1] = [widths[place], widths[place + 1]];
  const both = left + right;
  const next = Math.max(LEAST_SHARE, Math.min(1 - LEAST_SHARE, left / both + share)) * both;
  return widths.map((width, at) => (at === place ? next : at === place + 1 ? both - next : width));
}

/** Which rows to show: those with a problem or one kind of problem, with some words, with one output. */
export type Filter = { problem?: string; words?: string; output?: string };
export const ANY_PROBLEM = "any";

export function placesOf(
  rows: readonly Cells[],
  problems: (RowProblem | undefined)[],
  { problem = "", words = "", output = "" }: Filter,
): number[] {
  const wanted = words.trim().toLocaleLowerCase();
  return [...rows.keys()].filter((place) => {
    const [row = [], found] = [rows[place], problems[place]];
    if (problem !== "" && !(problem === ANY_PROBLEM ? found : found?.kind === problem)) return false;
    if (output !== "" && row.at(-1)?.trim() !== output) return false;
    return wanted === "" || row.some((cell) => cell.toLocaleLowerCase().includes(wanted));
  });
}
