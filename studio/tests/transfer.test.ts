import { expect, test } from "vitest";
import { csv, isSheetsAddress, parseCells, parseExamples } from "../src/transfer";

test("cells stand between tabs, rows between line breaks", () => {
  expect(parseCells("a\tb\r\nc\td\n")).toEqual([
    ["a", "b"],
    ["c", "d"],
  ]);
});

test("a quoted cell keeps its tabs, line breaks and doubled quotes", () => {
  expect(parseCells('"one\ntwo\t3"\t"say ""hi"""')).toEqual([["one\ntwo\t3", 'say "hi"']]);
});

test("a quote inside a text is a quote", () => {
  expect(parseCells('6" nails\tscrews')).toEqual([['6" nails', "screws"]]);
});

test("rows without two filled cells are named", () => {
  expect(parseExamples("a\tb\nalone\n\tempty").wrong).toEqual([2, 3]);
});

test("the address of a sheet is told from rows", () => {
  expect(isSheetsAddress(" https://docs.google.com/spreadsheets/d/abc/edit#gid=0 ")).toBe(true);
  expect(isSheetsAddress("https://docs.google.com/x\tfoo")).toBe(false);
});

test("cells of CSV are quoted where they must be", () => {
  expect(csv([["a", 'say "hi"', undefined, 3]])).toBe('a,"say ""hi""",,3\r\n');
});
