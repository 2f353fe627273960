import { expect, test } from "vitest";
import { isFixable, withFixes } from "../src/draftSource";

const EXAMPLES = [
  { textInput: "a", output: "yes" },
  { textInput: "b", output: "Yes" },
  { textInput: "a", output: "yes" },
];

test("rows are dropped and outputs changed, the doubtful ones stay", () => {
  const findings = [
    { row: 2, isDropped: false, newOutput: "yes" },
    { row: 3, isDropped: true },
    { row: 1, isDropped: false },
  ];
  expect(withFixes(EXAMPLES, findings)).toEqual([
    { textInput: "a", output: "yes" },
    { textInput: "b", output: "yes" },
  ]);
  expect(findings.map(isFixable)).toEqual([true, true, false]);
});

test("nothing found changes nothing", () => {
  expect(withFixes(EXAMPLES, [])).toEqual(EXAMPLES);
});
