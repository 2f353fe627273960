import { expect, test } from "vitest";
import { withoutText } from "../src/components/playground/AnswerPanel";

const ENDED = { model: "models/b", text: "", remarks: {}, isRunning: false, wasStopped: false, since: 0 };
const usage = (output: number) => ({ input: 5, output, seconds: 1 });

test("an answer without visible text says whether anything was written", () => {
  expect(withoutText({ ...ENDED, usage: usage(256) })).toContain("wrote 256 tokens, but none of them is visible");
  expect(withoutText({ ...ENDED, usage: usage(1) })).toContain("without writing anything");
  expect(withoutText({ ...ENDED, wasStopped: true })).toBe("Stopped.");
});
