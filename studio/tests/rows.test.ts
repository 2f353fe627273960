import { ApiError, errorFrom } from "../src/api/client";
import { expect, test } from "vitest";
import {
  ANY_PROBLEM,
  placesOf,
  refusedRows,
  rowProblems,
  unique,
  withBorder,
  withDuplicates,
  withoutRows,
} from "../src/rows";

const row = (textInput: string, output: string) => ({ textInput, output });
const LIMITS = { input: 5, output: 3 };

test("each row has its first error", () => {
  const rows = [row("", "x"), row("a", " "), row("toolong", "x"), row("b", "long"), row("c", "1")];
  expect(rowProblems(rows, LIMITS).map((problem) => problem?.kind)).toEqual([
    "empty-input",
    "empty-output",
    "long-input",
    "long-output",
    undefined,
  ]);
});

test("rows without an error have the server's first warning, whose rows are numbered from 1", () => {
  const warnings = [
    { row: 2, kind: "long-row" },
    { row: 2, kind: "duplicate" },
    { row: 3, kind: "duplicate" },
    { kind: "few-examples" },
  ];
  expect(rowProblems([row("a", "1"), row("a", "1"), row("", "2")], {}, warnings)).toEqual([
    undefined,
    { kind: "long-row", isError: false },
    { kind: "empty-input", isError: true },
  ]);
});

test("rows are duplicated behind themselves, removed by place, and made unique", () => {
  const rows = [row("a", "1"), row("b", "2")];
  expect(withDuplicates(rows, new Set([0])).map(({ textInput }) => textInput)).toEqual(["a", "a", "b"]);
  expect(withoutRows(rows, new Set([0]))).toEqual([row("b", "2")]);
  expect(unique([...rows, row("a", "1")])).toEqual(rows);
});

test("the rows that the server refuses are errors of the grid", () => {
  const violation = { field: "row 2, column output", description: "Row 2, output: 2,100 tokens." };
  const details = [{ reason: "X" }, { fieldViolations: [violation, { field: "displayName", description: "empty." }] }];
  const error = errorFrom({ error: { message: "bad", code: 400, status: "INVALID_ARGUMENT", details } }, 400);
  const refused = refusedRows(error);

  expect(refused).toEqual([{ row: 2, message: "Row 2, output: 2,100 tokens." }]);
  const rows = [1, 2].map((number) => ({ textInput: `in ${number}`, output: "out" }));
  expect(rowProblems(rows, {}, [{ kind: "long-row", row: 2 }], refused)).toEqual([
    undefined,
    { kind: "refused", isError: true },
  ]);
  expect(refusedRows(new ApiError("bad", 400, ""))).toEqual([]);
  expect(refusedRows(undefined)).toEqual([]);
});

test("a filter leaves rows with a problem, with words in any cell, with an output", () => {
  const rows = [
    ["Parcel late", "delivery"],
    ["Bill wrong", "billing"],
    ["parcel lost", "delivery "],
    ["", ""],
  ];
  const problems = [undefined, { kind: "long-row", isError: false }, undefined, { kind: "empty-input", isError: true }];
  expect(placesOf(rows, problems, {})).toEqual([0, 1, 2, 3]);
  expect(placesOf(rows, problems, { problem: ANY_PROBLEM })).toEqual([1, 3]);
  expect(placesOf(rows, problems, { problem: "long-row" })).toEqual([1]);
  expect(placesOf(rows, problems, { words: " PARCEL " })).toEqual([0, 2]);
  expect(placesOf(rows, problems, { output: "delivery", words: "late" })).toEqual([0]);
});

test("a border moves between two columns and leaves both some width", () => {
  expect(withBorder([1, 1, 2], 0, 0.25)).toEqual([1.5, 0.5, 2]);
  expect(withBorder([1, 1], 1, 0.1)).toEqual([1.2, 0.8]); // the last column has no border on its right
  expect(withBorder([1, 1], 0, -5)).toEqual([0.3, 1.7]);
});
