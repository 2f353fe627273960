import { expect, test } from "vitest";
import { labels, rowProblems, unique, withDuplicates, withoutRows } from "../src/rows";

const row = (textInput: string, output: string) => ({ textInput, output });
const LIMITS = { input: 5, output: 3 };

test("each row has its worst problem", () => {
  const rows = [row("", "x"), row("a", " "), row("toolong", "x"), row("b", "long"), row("c", "1"), row("c", "2")];
  expect(rowProblems(rows, LIMITS)).toEqual([
    "emptyInput",
    "emptyOutput",
    "longInput",
    "longOutput",
    "contradiction",
    "contradiction",
  ]);
});

test("only the second of two equal rows is a duplicate; rows that the window cuts are counted from 1", () => {
  expect(rowProblems([row("a", "1"), row("a", "1"), row("b", "2")], LIMITS, [3])).toEqual([undefined, "double", "cut"]);
});

test("rows are duplicated behind themselves, removed by place, and made unique", () => {
  const rows = [row("a", "1"), row("b", "2")];
  expect(withDuplicates(rows, new Set([0])).map(({ textInput }) => textInput)).toEqual(["a", "a", "b"]);
  expect(withoutRows(rows, new Set([0]))).toEqual([row("b", "2")]);
  expect(unique([...rows, row("a", "1")])).toEqual(rows);
});

test("outputs that repeat are labels, others are not", () => {
  const classified = Array.from({ length: 12 }, (_, place) => row(String(place), place % 3 ? "yes" : "no"));
  const free = Array.from({ length: 12 }, (_, place) => row(String(place), `answer ${place}`));
  expect(labels(classified)).toEqual([
    ["yes", 8],
    ["no", 4],
  ]);
  expect(labels(free)).toBeUndefined();
});
