import { expect, test } from "vitest";
import { likeness } from "../src/components/model/useHeldOutAnswers";

test("answers are alike as far as they share words", () => {
  expect(likeness("billing / high", "billing / low")).toBeCloseTo(0.5);
  expect([likeness("", "a"), likeness("b", "b")]).toEqual([0, 1]);
});
