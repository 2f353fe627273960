import { expect, test } from "vitest";
import type { Parsed, Problem, Question } from "../src/api/examples";
import {
  askedOf,
  causesOf,
  chosenValue,
  controlsOf,
  headsOf,
  isSameReading,
  NO_EDITS,
  readRowOf,
  skipRowsOf,
  suggestedRoles,
  withFixes,
  withOptions,
  withRole,
} from "../src/reading";

const problem = (part: Partial<Problem>): Problem => ({
  kind: "empty-output",
  message: "empty.",
  level: "error",
  isSkippable: true,
  ...part,
});

const parsed = (part: Partial<Parsed>): Parsed => ({
  source: "a.csv",
  problems: [],
  file: new File([], "a.csv"),
  options: {},
  ...part,
});

const ENCODING: Question = {
  option: "encoding",
  message: "it may be both.",
  readings: [
    { value: "iso8859-2", rows: [["Balík nepřišel"]] },
    { value: "cp1250", rows: [["Balík nepřiąel"]] },
  ],
};
const HEADER: Question = {
  option: "headerRow",
  message: "may be an example.",
  readings: [
    { value: "1", rows: [["c", "d"]] },
    { value: "0", rows: [["a", "b"], ["c", "d"]] }, // prettier-ignore
  ],
};
const { option, message } = ENCODING;
const unclear = parsed({
  problems: [problem({ kind: "ambiguous-encoding", message, option, isSkippable: false })],
  questions: [HEADER, ENCODING],
});

test("questions are asked in the order in which they are settled, and none before one that has to be answered", () => {
  const doubts = parsed({
    problems: [problem({ ...HEADER, kind: "guessed-header", level: "warning" })],
    questions: [HEADER, { ...HEADER, option: "hiddenRows" }],
  });
  expect(askedOf(doubts, [], {}).map((one) => [one.option, one.problem?.kind])).toEqual([
    ["hiddenRows", undefined],
    ["headerRow", "guessed-header"],
  ]);
  expect(askedOf(unclear, [], {}).map((one) => [one.option, one.problem?.kind])).toEqual([
    ["encoding", "ambiguous-encoding"],
  ]);
});

test("an answered question stays without its problem, one that no longer arises goes", () => {
  const before = askedOf(unclear, [], {});
  expect(askedOf(parsed({}), before, { encoding: "cp1250" })).toEqual([ENCODING]);
  expect(askedOf(parsed({}), before, {})).toEqual([]);
  expect(askedOf(unclear, before, { encoding: "cp1250" })).toHaveLength(1); // none is asked twice
});

test("nothing is chosen for the user where the file could not be read, else the likeliest reading", () => {
  const [encoding] = askedOf(unclear, [], {});
  expect(encoding && chosenValue(encoding, {})).toBeUndefined();
  expect(encoding && chosenValue(encoding, { encoding: "cp1250" })).toBe("cp1250");
  expect(chosenValue(HEADER, {})).toBe("1");
});

test("a row that is taken for column names is shown as such", () => {
  expect(headsOf(HEADER, "1")).toEqual(["a", "b"]);
  expect(headsOf(HEADER, "0")).toBeUndefined();
  expect(headsOf(ENCODING, "cp1250")).toBeUndefined();
});

test("another reading forgets what was chosen for the one before", () => {
  const before = { encoding: "cp1252", headerRow: "2", inputColumn: ["a"], outputColumn: "b", skipRows: "3" };
  expect(withOptions(before, { headerRow: "0" })).toEqual({
    encoding: "cp1252",
    headerRow: "0",
    skipRows: "3",
    inputColumn: undefined,
    outputColumn: undefined,
  });
  expect(withOptions(before, { hiddenRows: "true" })).toEqual({ ...before, hiddenRows: "true" });
  expect(withOptions(before, { sheet: "B" }).skipRows).toBeUndefined();
});

test("an option can be set if the file has it, a message names it or it was set, also for a refused file", () => {
  expect([...controlsOf(parsed({}), {})]).toEqual([]);
  expect([...controlsOf(unclear, {})]).toEqual(["encoding", "headerRow"]);
  expect([...controlsOf(parsed({}), { delimiter: ";" })]).toEqual(["delimiter"]);
  const table = parsed({ encoding: "utf-8", delimiter: ",", hasHeader: true, columns: ["a", "b"] });
  expect([...controlsOf(table, {})]).toEqual(["encoding", "delimiter", "headerRow", "inputColumn", "outputColumn"]);
  const named = parsed({ problems: [problem({ option: "outputColumn" }), problem({ option: "sheet" })] });
  expect([...controlsOf(named, {})]).toEqual([]); // a refused file has neither columns nor sheets to choose from
});

test("one cause is one sentence with its rows, errors first", () => {
  const groups = causesOf([
    problem({ kind: "duplicate", level: "warning", row: 2, message: "twice." }),
    problem({ row: 5, column: "out" }),
    problem({ row: 9, column: "out" }),
    problem({ row: 9, column: "other" }),
    problem({ kind: "no-rows", message: "none." }),
  ]);
  expect(groups.map((group) => group.map(({ kind, column, rows }) => [kind, column, rows]))).toEqual([
    [["empty-output", "out", [5, 9]], ["empty-output", "other", [9]]], // prettier-ignore
    [["no-rows", undefined, []]],
    [["duplicate", undefined, [2]]],
  ]);
});

test("a second output takes the place of the first, an input stays", () => {
  const columns = ["a", "b", "c"];
  const roles = suggestedRoles(columns, { inputColumns: ["a"], outputColumn: "b", ignoredColumns: ["c"] });
  expect(withRole(columns, roles, "c", "output")).toEqual({ a: "input", b: "ignored", c: "output" });
  expect(withRole(columns, roles, "a", "output")).toEqual({ a: "output", b: "input", c: "ignored" });
});

test("only the skipped rows may differ between two options that read alike", () => {
  expect(isSameReading({ sheet: "x", skipRows: "3" }, { sheet: "x", encoding: undefined })).toBe(true);
  expect(isSameReading({ inputColumn: ["a"] }, { inputColumn: ["b"] })).toBe(false);
});

test("fixed rows are imported in their places, and the server leaves them out", () => {
  const edits = { skipped: [9, 3], fixed: { 5: { textInput: "fixed", output: "x" } } };
  const examples = [2, 4, 6].map((row) => ({ textInput: `row ${row}`, output: "x", row }));
  expect(skipRowsOf(edits)).toBe("3,5,9");
  expect(skipRowsOf(NO_EDITS)).toBeUndefined();
  expect(withFixes(examples, edits).map(({ textInput }) => textInput)).toEqual(["row 2", "row 4", "fixed", "row 6"]);
});

test("a row is shown by its used columns, a line that cannot be read as it stands", () => {
  const file = parsed({
    columns: ["system", "id", "text", "label"],
    delimiter: ";",
    mapping: { inputColumns: ["system", "text"], outputColumn: "label", ignoredColumns: ["id"] },
    sample: [{ number: 2, cells: ["Be brief.", "7", "hello", "hi"] }],
    problemRows: [{ number: 40, cells: ["a", "b"] }],
  });
  expect(readRowOf(file, 2)?.cells.map(({ column }) => column)).toEqual(["system", "text", "label"]);
  expect(readRowOf(file, 2)?.example).toEqual({ textInput: "Be brief.\n\nhello", output: "hi" });
  expect(readRowOf(file, 40)?.line).toBe("a;b");
  expect(readRowOf(file, 41)).toBeUndefined();
});
