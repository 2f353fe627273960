import { expect, test } from "vitest";
import { readFileSync } from "node:fs";
import { csv, isSheetsAddress, parseCells, parsePasted, pastedFile } from "../src/transfer";

test("cells stand between tabs, rows between line breaks", () => {
  const rows = [["a", "b"], ["c", "d"], []];
  expect(parseCells("a\tb\r\nc\td\n")).toEqual(rows);
  expect(parseCells("a\tb\rc\td\r")).toEqual(rows); // as Excel on a Mac ends lines
  expect(parseCells("a\tb\t\t\nc\td\t \n")).toEqual(rows); // empty cells at the end
});

test("a quoted cell keeps its tabs, line breaks and doubled quotes", () => {
  expect(parseCells('"one\ntwo\t3"\t"say ""hi"""')).toEqual([["one\ntwo\t3", 'say "hi"']]);
});

test("a quote inside a text is a quote", () => {
  expect(parseCells('6" nails\tscrews')).toEqual([['6" nails', "screws"]]);
});

test("line breaks in a quoted cell are line feeds", () => {
  expect(parseCells('"one\r\ntwo\rthree"\tb')).toEqual([["one\ntwo\nthree", "b"]]);
});

test("what Excel copies is two cells a row, and a row of three is kept whole and named", () => {
  const { rows, incomplete, header, width } = parsePasted(
    readFileSync("../tests/fixtures/cases/40-paste/clipboard.txt", "utf-8"),
  );
  expect(rows).toEqual([
    { textInput: "My parcel", output: "delivery" },
    { textInput: 'Line one\nline "two"', output: "billing" },
    { textInput: '"Quoted" at the start only', output: "technical" },
    { textInput: '5" screen is broken', output: "technical" },
    { textInput: "first\tsecond\tthird", output: "" },
  ]);
  expect({ incomplete, header, width }).toEqual({ incomplete: [5], header: undefined, width: 2 });
});

test("rows without two filled cells are kept and named by their place", () => {
  const { rows, incomplete } = parsePasted("a\tb\n\nalone\n\tempty");
  expect(rows.slice(1)).toEqual([
    { textInput: "alone", output: "" },
    { textInput: "", output: "empty" },
  ]);
  expect(incomplete).toEqual([3, 4]);
});

test("usual column names in the first row are no example and decide what is the input", () => {
  expect(parsePasted("\ufefftext_input\toutput\nMy parcel\tdelivery")).toMatchObject({
    rows: [{ textInput: "My parcel", output: "delivery" }],
    header: ["text_input", "output"],
  });
  expect(parsePasted("Label\tText\ndelivery\tMy parcel").rows).toEqual([
    { textInput: "My parcel", output: "delivery" },
  ]);
});

test("a label that is also a usual name is no column name", () => {
  const { rows, header } = parsePasted("message\tresult\nother\tresult");
  expect([rows.length, header]).toEqual([2, undefined]);
});

test("rows of three cells become a file, whose columns are chosen", async () => {
  const pasted = '\tproblem\tteam\n1\t"My\nparcel"\tdelivery';
  expect(parsePasted(pasted).width).toBe(3);
  expect(await pastedFile(pasted, "Pasted rows.csv").text()).toBe(',problem,team\r\n1,"My\nparcel",delivery\r\n');
});

test("a large paste of quoted cells is read", () => {
  expect(parseCells('"a"\t"b"\n'.repeat(50_000)).length).toBe(50_001);
});

test("the address of a sheet is told from rows", () => {
  expect(isSheetsAddress(" https://docs.google.com/spreadsheets/d/abc/edit#gid=0 ")).toBe(true);
  expect(isSheetsAddress("https://docs.google.com/x\tfoo")).toBe(false);
});

test("cells of CSV are quoted where they must be", () => {
  expect(csv([["a", 'say "hi"', undefined, 3]])).toBe('a,"say ""hi""",,3\r\n');
});
