import { expect, test } from "vitest";
import { csv } from "../src/transfer";
import { settingsFrom, settingsOf, EMPTY } from "../src/draft";
import { durationRange, fileSize, parameters } from "../src/format";
import { likeness } from "../src/components/model/useHeldOutAnswers";
import { isSheetsAddress } from "../src/transfer";
import { examplesOf, inputText } from "../src/prompt";
import { commonBeginning } from "../src/rows";

test("what all inputs begin with ends at a line or a label, not within a word", () => {
  expect(commonBeginning(["Classify.\n\nTicket: broken", "Classify.\n\nTicket: brown"])).toBe("Classify.\n\nTicket: ");
  expect(commonBeginning(["input: 1", "input: 2"])).toBe("input: ");
  expect(commonBeginning(["seventy", "seven"])).toBe("");
  expect(commonBeginning(["alone"])).toBe("");
});

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

test("settings survive a file; other JSON is none", () => {
  const draft = { ...EMPTY, epochCount: 3, holdOut: "10%" };
  expect(settingsFrom(JSON.parse(JSON.stringify(settingsOf(draft))))).toMatchObject({
    epochCount: 3,
    holdOut: "10%",
  });
  expect(settingsFrom({ epochCount: "3" })).toBeUndefined();
  expect(settingsFrom([1])).toBeUndefined();
});

test("cells of CSV are quoted where they must be", () => {
  expect(csv([["a", 'say "hi"', undefined, 3]])).toBe('a,"say ""hi""",,3\r\n');
});

test("the address of a sheet is told from rows", () => {
  expect(isSheetsAddress(" https://docs.google.com/spreadsheets/d/abc/edit#gid=0 ")).toBe(true);
  expect(isSheetsAddress("https://docs.google.com/x\tfoo")).toBe(false);
});

test("answers are alike as far as they share words", () => {
  expect(likeness("billing / high", "billing / low")).toBeCloseTo(0.5);
  expect([likeness("", "a"), likeness("b", "b")]).toEqual([0, 1]);
});

test("ranges, sizes and counts are short", () => {
  expect([durationRange(360, 540), durationRange(30, 300), durationRange(5, 5)]).toEqual([
    "6–9 min",
    "30 s – 5 min",
    "5 s",
  ]);
  expect([fileSize(4 * 2 ** 20), fileSize(5.2 * 2 ** 20), parameters(134.5e6)]).toEqual([
    "4 MB",
    "5.2 MB",
    "135 M parameters",
  ]);
});
