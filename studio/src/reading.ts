// Reading a file: the options that the user sets, the questions that remain open, the causes of its
// problems.

import type { Parsed, Problem, Question, ReadOptions } from "./api/examples";
import type { Example } from "./draft";

/** Options that a question or a problem may name, in the order in which they are settled. */
const OPTIONS = ["encoding", "delimiter", "sheet", "hiddenRows", "headerRow", "inputColumn", "outputColumn"] as const;
export type Option = (typeof OPTIONS)[number];

const COLUMNS = ["inputColumn", "outputColumn"] as const;
// Choices made for one reading of the file do not apply to another.
const RESETS: Partial<Record<keyof ReadOptions, readonly (keyof ReadOptions)[]>> = {
  encoding: ["delimiter", "headerRow", ...COLUMNS],
  delimiter: ["headerRow", "skipRows", ...COLUMNS],
  sheet: ["hiddenRows", "headerRow", "skipRows", ...COLUMNS],
  headerRow: COLUMNS,
};

/** The options with some changed, without those that depended on the old ones. */
export function withOptions(before: ReadOptions, part: ReadOptions): ReadOptions {
  const reset = Object.keys(part).flatMap((name) => RESETS[name as keyof ReadOptions] ?? []);
  return { ...before, ...Object.fromEntries(reset.map((name) => [name, undefined])), ...part };
}

/** A question; `problem` says why it is open, and is absent once it has an answer. */
export type Asked = Question & { problem?: Problem };

/** The open questions of a file as read now, and earlier ones that `options` answer, so that users can change them. */
export function askedOf(parsed: Parsed, before: Asked[], options: ReadOptions): Asked[] {
  const open = (parsed.questions ?? []).map((question) => ({ ...question, problem: problemOf(question, parsed) }));
  const answered: Asked[] = before
    .filter(({ option }) => options[option as Option] !== undefined && open.every((one) => one.option !== option))
    .map(({ option, message, readings }) => ({ option, message, readings }));
  const place = ({ option }: Asked) => OPTIONS.indexOf(option as Option);
  const all = [...answered, ...open].sort((one, other) => place(one) - place(other));
  const first = all.findIndex(({ problem }) => problem?.level === "error"); // the next questions depend on its answer
  return first < 0 ? all : all.slice(0, first + 1);
}

const problemOf = ({ option, message }: Question, { problems }: Parsed) =>
  problems.find((problem) => problem.option === option && problem.message === message);

/** The reading that is chosen: by the user, else the likeliest if the file could be read at all. */
export function chosenValue({ option, readings, problem }: Asked, options: ReadOptions): string | undefined {
  return (
    (options[option as Option] as string | undefined) ?? (problem?.level === "error" ? undefined : readings[0]?.value)
  );
}

/** The names if a row is read as column names: the first row of the reading in which that row is an example. */
export function headsOf({ option, readings }: Question, value: string): string[] | undefined {
  if (option !== "headerRow" || value === "0") return undefined;
  return readings.find((reading) => reading.value === "0")?.rows[0];
}

/** The options that can be set for this file. */
export function controlsOf(parsed: Parsed, options: ReadOptions): Set<Option> {
  const { problems, questions = [], sheets = [], columns = [], hasHeader } = parsed;
  const named = new Set([...problems, ...questions].map(({ option }) => option));
  const isKnown: Record<Option, boolean> = {
    encoding: parsed.encoding !== undefined,
    delimiter: Boolean(parsed.delimiter),
    sheet: sheets.length > 1,
    hiddenRows: false,
    headerRow: hasHeader !== undefined,
    inputColumn: columns.length > 0,
    outputColumn: columns.length > 0,
  };
  const needsList: Option[] = ["sheet", ...COLUMNS];
  const isWanted = (option: Option) =>
    !needsList.includes(option) && (named.has(option) || options[option] !== undefined);
  return new Set(OPTIONS.filter((option) => isKnown[option] || isWanted(option)));
}

/** One cause of problems; rows with the same cause share its sentence. */
export type Cause = Problem & { rows: number[] };

/** The causes of problems, grouped by kind, errors first. */
export function causesOf(problems: Problem[]): Cause[][] {
  const kinds = new Map<string, Map<string, Cause>>();
  for (const problem of problems) {
    const { level, kind, column, message, row } = problem;
    const causes = kinds.get(`${level}/${kind}`) ?? new Map<string, Cause>();
    kinds.set(`${level}/${kind}`, causes);
    const key = JSON.stringify([column, message]);
    const cause = causes.get(key) ?? { ...problem, rows: [] };
    causes.set(key, cause);
    if (row !== undefined && !cause.rows.includes(row)) cause.rows.push(row);
  }
  const isError = (group: Cause[]) => Number(group[0]?.level === "error");
  return [...kinds.values()].map((causes) => [...causes.values()]).sort((one, other) => isError(other) - isError(one));
}

export const rowsOf = (problems: Problem[]) => [
  ...new Set(problems.flatMap(({ row }) => (row === undefined ? [] : [row]))),
];

export const ROLES = ["input", "output", "ignored"] as const;
export type Role = (typeof ROLES)[number];
export type Roles = Record<string, Role>; // by the name of the column

/** The roles in which the server read the columns. */
export function suggestedRoles(columns: string[], mapping: Parsed["mapping"]): Roles {
  const inputs = mapping?.inputColumns ?? [];
  const roleOf = (name: string): Role =>
    name === mapping?.outputColumn ? "output" : inputs.includes(name) ? "input" : "ignored";
  return Object.fromEntries(columns.map((name) => [name, roleOf(name)]));
}

export const rolesOf = (columns: string[], roles: Roles) => ({
  inputs: columns.filter((name) => roles[name] === "input"),
  output: columns.find((name) => roles[name] === "output"),
});

/** The roles with one changed: any number of inputs, one output. */
export function withRole(columns: string[], roles: Roles, column: string, role: Role): Roles {
  const { inputs, output } = rolesOf(columns, roles);
  const next = { ...roles, [column]: role };
  if (role === "output" && output && output !== column)
    next[output] = inputs.some((name) => name !== column) ? "ignored" : "input"; // only one column can be the output
  return next;
}

/** Whether two sets of options read the same rows in the same way, apart from skipped rows. */
export function isSameReading(one: ReadOptions, other: ReadOptions): boolean {
  const plain = (options: ReadOptions) =>
    JSON.stringify(
      Object.entries({ ...options, skipRows: undefined })
        .filter(([, value]) => value !== undefined)
        .sort(),
    );
  return plain(one) === plain(other);
}

/** The user's changes to single rows of a file before it is imported. */
export type Edits = { skipped: number[]; fixed: Record<number, Example> };
export const NO_EDITS: Edits = { skipped: [], fixed: {} };

/** The rows that the server leaves out: skipped rows, and rows whose fixed version is imported instead. */
export function skipRowsOf({ skipped, fixed }: Edits): string | undefined {
  const rows = [...new Set([...skipped, ...Object.keys(fixed).map(Number)])].sort((one, other) => one - other);
  return rows.length > 0 ? rows.join(",") : undefined;
}

/** An example and its row in the file. */
export type NumberedExample = Example & { row?: number };

/** The examples of a file with the fixed rows in their places. */
export function withFixes(examples: NumberedExample[], { skipped, fixed }: Edits): NumberedExample[] {
  const own = Object.entries(fixed).map(([row, example]) => ({ ...example, row: Number(row) }));
  const all = own.length === 0 ? examples : [...examples, ...own.filter(({ row }) => !skipped.includes(row))];
  return [...all].sort((one, other) => (one.row ?? 0) - (other.row ?? 0));
}

/** A row of a file: its cells by column, or the line that could not be read, and the example it becomes. */
export type ReadRow = {
  number: number;
  cells: { column: string; cell: string }[];
  line?: string;
  example: Example;
};

/** A row of the sample or of a problem, with the columns used; undefined if it is unknown. */
export function readRowOf(parsed: Parsed, number: number): ReadRow | undefined {
  const { columns = [], sample = [], problemRows = [], mapping, delimiter } = parsed;
  const found = [...sample, ...problemRows].find((row) => row.number === number);
  if (!found) return undefined;
  const cellOf = (column: string) => found.cells[columns.indexOf(column)] ?? "";
  const inputs = mapping?.inputColumns ?? [];
  const output = mapping?.outputColumn;
  if (found.cells.length !== columns.length || output === undefined) {
    const line = found.cells.join(delimiter ?? " ");
    return { number, cells: [], line, example: { textInput: found.cells.length > 1 ? line : "", output: "" } };
  }
  return {
    number,
    cells: [...inputs, output].map((column) => ({ column, cell: cellOf(column) })),
    example: { textInput: joined(inputs, cellOf), output: cellOf(output) },
  };
}

const SYSTEM = /^system([ _-]?(prompt|message|instruction))?:?$/i; // see data/columns.py

/** The input that the server makes from several columns: lines of "name: text" after a system text. */
function joined(inputs: string[], cellOf: (column: string) => string): string {
  const filled = inputs.filter((name) => cellOf(name).trim());
  const systems = inputs.length > 1 ? filled.filter((name) => SYSTEM.test(name)) : [];
  const others = filled.filter((name) => !systems.includes(name));
  const isAlone = inputs.length - systems.length === 1;
  const question = others.map((name) => (isAlone ? cellOf(name) : `${name}: ${cellOf(name)}`)).join("\n");
  return [...systems.map(cellOf), question].filter(Boolean).join("\n\n");
}
