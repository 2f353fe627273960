import { expect, test } from "vitest";
import { EMPTY, settingsFrom, settingsOf } from "../src/draft";

test("settings survive a file; other JSON is none", () => {
  const draft = { ...EMPTY, epochCount: 3, holdOut: "10%" };
  expect(settingsFrom(JSON.parse(JSON.stringify(settingsOf(draft))))).toMatchObject({
    epochCount: 3,
    holdOut: "10%",
  });
  expect(settingsFrom({ epochCount: "3" })).toBeUndefined();
  expect(settingsFrom([1])).toBeUndefined();
});
