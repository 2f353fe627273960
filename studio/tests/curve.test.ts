import { expect, test } from "vitest";
import { thinned } from "../src/components/chart/curve";
import { duration, epochOf, loss } from "../src/format";

test("a step belongs to the pass in which it ends", () => {
  expect([1, 3, 4, 7, 8].map((step) => epochOf(step, 4, 15))).toEqual([1, 1, 2, 2, 3]);
});

test("thinning keeps the highest and the lowest point", () => {
  const all = Array.from({ length: 5000 }, (_, step) => ({
    step,
    epoch: step,
    loss: step === 4321 ? 99 : 1,
  }));
  const few = thinned(all);
  expect(few.length).toBeLessThanOrEqual(1000);
  expect(Math.max(...few.map((point) => point.loss))).toBe(99);
});

test("numbers are short", () => {
  expect([loss(undefined), loss("NaN"), loss(0.004), loss(1.234)]).toEqual(["–", "–", "4.0e-3", "1.23"]);
  expect([duration(0.2), duration(89), duration(600), duration(7200)]).toEqual(["1 s", "89 s", "10 min", "2.0 h"]);
});
