import { afterEach, expect, test, vi } from "vitest";
import { fewShotText, runOf, settingsFor } from "../src/fewShot";

const PARTS = {
  displayName: "x",
  preamble: "Count on.",
  columns: [
    { prefix: "input:", isInput: true },
    { prefix: "output:", isInput: false },
  ],
  rows: [
    ["1", "2"],
    ["5", ""],
    ["7", "8"],
    ["9", "10"],
  ],
  testRows: [["3", ""]],
};

const replies = (limit: number) =>
  vi.stubGlobal("fetch", (_: string, { body }: { body: string }) => {
    const fits = body.split("input:").length - 1 <= limit;
    const error = { error: { message: "too long", code: 400, status: "INVALID_ARGUMENT" } };
    return Promise.resolve(
      new Response(JSON.stringify(fits ? { totalTokens: 1 } : error), { status: fits ? 200 : 400 }),
    );
  });

afterEach(() => vi.unstubAllGlobals());

test("the rows stand between the preamble and the row to be answered, which ends with the prefix of the answer", () => {
  expect(fewShotText(PARTS, [["1", "2"]], ["3", ""])).toBe("Count on.\ninput: 1\noutput: 2\ninput: 3\noutput:");
});

test("an answer ends where the model would begin another row", () => {
  expect(settingsFor(PARTS, true).stopSequences).toEqual(["\ninput:"]);
  expect(settingsFor(PARTS, false).stopSequences).toEqual([]);
});

test("whole rows are sent; without them the test row alone, as a tuned model reads it", async () => {
  replies(99);
  const shown = await runOf("models/x", PARTS, ["3", ""], true);
  expect(shown.prompt.split("\n").filter((line) => line.startsWith("output:"))).toHaveLength(4);
  expect(shown.left).toEqual([]);
  const plain = await runOf("tunedModels/x", PARTS, ["3", ""], false);
  expect(plain).toEqual({ prompt: "Count on.\ninput: 3", settings: settingsFor(PARTS, false), left: [] });
});

test("rows that do not fit are left out and named by their numbers", async () => {
  replies(3); // two rows and the test row
  expect((await runOf("models/x", PARTS, ["3", ""], true)).left).toEqual([4]);
  replies(1);
  const none = await runOf("models/x", PARTS, ["3", ""], true);
  expect([none.prompt, none.left]).toEqual(["Count on.\ninput: 3\noutput:", [1, 3, 4]]);
});
