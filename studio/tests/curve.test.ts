import { expect, test } from "vitest";
import { thinned } from "../src/components/chart/curve";

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
