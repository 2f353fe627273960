import { expect, test } from "vitest";
import { EMPTY, requestOf, settingsFrom, settingsOf, nextName } from "../src/draft";

test("settings survive a file; other JSON is none", () => {
  const draft = { ...EMPTY, epochCount: 3, holdOut: "10%" };
  expect(settingsFrom(JSON.parse(JSON.stringify(settingsOf(draft))))).toMatchObject({
    epochCount: 3,
    holdOut: "10%",
  });
  expect(settingsFrom({ epochCount: "3" })).toBeUndefined();
  expect(settingsFrom([1])).toBeUndefined();
});

test("a file from before auto, or with another word, means its own values", () => {
  expect(settingsFrom({ epochCount: 20 })).toMatchObject({ epochCount: 20, settings: "page" });
  expect(settingsFrom({ epochCount: 20, settings: "best" })).toMatchObject({ settings: "page" });
  expect(settingsFrom({ epochCount: 20, settings: "auto" })).toMatchObject({ settings: "auto" });
});

test("auto settings leave the values to the server, except the weights", () => {
  const sent = (part: Partial<typeof EMPTY>) => requestOf({ ...EMPTY, ...part }).tuningTask?.hyperparameters;
  expect(sent({ settings: "auto", epochCount: 9, labelShare: 0.5, weights: "4bit" })).toEqual({
    settings: "auto",
    weights: "4bit",
  });
  expect(sent({ settings: "page" })).toEqual({ epochCount: 5, batchSize: 4, learningRate: 0.001 });
});

test("a model that is tuned again gets the next free version as its name", () => {
  expect(nextName("Tickets", ["Tickets"])).toBe("Tickets 2");
  expect(nextName("Tickets 2", ["Tickets", "Tickets 2", "Tickets 3"])).toBe("Tickets 4");
  expect(nextName("n".repeat(40), [])).toBe(`${"n".repeat(38)} 2`);
});
