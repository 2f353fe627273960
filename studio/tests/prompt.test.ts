import { expect, test } from "vitest";
import { examplesOf, inputText } from "../src/prompt";

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
