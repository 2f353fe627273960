import { expect, test } from "vitest";
import { examplesOf, inputText, pastedCells, promptProblems, rowsOfFile, withColumnsOf } from "../src/prompt";

const PROMPT = {
  name: "prompts/x",
  displayName: "x",
  preamble: "Count on.",
  columns: [
    { prefix: "input:", isInput: true },
    { prefix: "output:", isInput: false },
  ],
  rowCount: 2,
  rows: [{ cells: ["1", "2"] }, { cells: ["", ""] }],
  createTime: "",
  updateTime: "",
};

test("a row becomes preamble, prefix and text; rows without text are left out", () => {
  expect(examplesOf(PROMPT, true)).toEqual([{ textInput: "Count on.\ninput: 1", output: "2" }]);
  expect(examplesOf(PROMPT, false)).toEqual([{ textInput: "1", output: "2" }]);
  expect(inputText(PROMPT, ["7"])).toBe("Count on.\ninput: 7");
});

test("several outputs are lines with their prefixes", () => {
  const two = { ...PROMPT, columns: [...PROMPT.columns, { prefix: "why:", isInput: false }] };
  expect(examplesOf({ ...two, rows: [{ cells: ["1", "2", "next"] }] }, true)[0]?.output).toBe("output: 2\nwhy: next");
});

test("rows that are no whole examples are problems, empty ones are not", () => {
  const rows = [
    ["1", "2"],
    ["1", " "],
    ["", "2"],
    ["", ""],
  ];
  expect(promptProblems(PROMPT.columns, rows).map((problem) => problem?.kind)).toEqual([
    undefined,
    "empty-output",
    "empty-input",
    undefined,
  ]);
});

test("no pasted cell is dropped, and column names are no row", () => {
  expect(pastedCells("Input\toutput\n1\t2\t3\n4", PROMPT.columns)).toEqual({
    rows: [
      ["1", "2\t3"],
      ["4", ""],
    ],
    header: true,
  });
});

test("a file fills the columns of a prompt, or gives an empty prompt its own", () => {
  const file = {
    source: "a.csv",
    problems: [],
    file: new File([], "a.csv"),
    options: {},
    columns: ["Subject", "id", "Text", "Team"],
    mapping: { inputColumns: ["Subject", "Text"], outputColumn: "Team", ignoredColumns: ["id"] },
    sample: [{ number: 2, cells: ["Late", "7", "Where is it?", "delivery"] }],
  };
  const examples = [{ textInput: "Subject: Late\nText: Where is it?", output: "delivery", row: 2 }];
  const own = withColumnsOf(file, { columns: PROMPT.columns, rows: [["", ""]] });
  expect(own.map(({ prefix }) => prefix)).toEqual(["subject:", "text:", "team:"]);
  expect(rowsOfFile(file, examples, own)).toEqual([["Late", "Where is it?", "delivery"]]);
  expect(withColumnsOf(file, { columns: PROMPT.columns, rows: [["1", "2"]] })).toBe(PROMPT.columns);
  expect(rowsOfFile(file, examples, PROMPT.columns)).toEqual([["Subject: Late\nText: Where is it?", "delivery"]]);
});
