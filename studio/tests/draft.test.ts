import { expect, test } from "vitest";
import { EMPTY, settingsFrom, settingsOf, nextName } from "../src/draft";

test("settings survive a file; other JSON is none", () => {
  const draft = { ...EMPTY, epochCount: 3, holdOut: "10%" };
  expect(settingsFrom(JSON.parse(JSON.stringify(settingsOf(draft))))).toMatchObject({
    epochCount: 3,
    holdOut: "10%",
  });
  expect(settingsFrom({ epochCount: "3" })).toBeUndefined();
  expect(settingsFrom([1])).toBeUndefined();
});

test("a model that is tuned again gets the next free version as its name", () => {
  expect(nextName("Tickets", ["Tickets"])).toBe("Tickets 2");
  expect(nextName("Tickets 2", ["Tickets", "Tickets 2", "Tickets 3"])).toBe("Tickets 4");
  expect(nextName("n".repeat(40), [])).toBe(`${"n".repeat(38)} 2`);
});
