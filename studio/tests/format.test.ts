import { expect, test } from "vitest";
import { duration, durationRange, ending, fileSize, loss, parameters } from "../src/format";

test("numbers are short", () => {
  expect([loss(undefined), loss("NaN"), loss(4.5e-3), loss(2e-5), loss(1.234)]).toEqual([
    "–",
    "–",
    "0.0045",
    "< 0.0001",
    "1.23",
  ]);
  expect([duration(0.2), duration(89), duration(600), duration(7200)]).toEqual(["1 s", "89 s", "10 min", "2.0 h"]);
});

test("ranges, sizes and counts are short", () => {
  expect([durationRange(360, 540), durationRange(30, 300), durationRange(5, 5)]).toEqual([
    "6–9 min",
    "0.5–5 min",
    "5 s",
  ]);
  expect([fileSize(4 * 2 ** 20), fileSize(5.2 * 2 ** 20), parameters(134.5e6)]).toEqual([
    "4 MB",
    "5.2 MB",
    "135 M parameters",
  ]);
});

test("a long text is cut before a word, and never inside a character", () => {
  expect(ending("a short one", 20)).toBe("a short one");
  expect(ending("with a deadline at risk", 15)).toBe("… at risk");
  expect(ending("数".repeat(50), 10)).toBe(`…${"数".repeat(10)}`);
  expect(ending("😀".repeat(20), 9)).toBe(`…${"😀".repeat(4)}`);
});
