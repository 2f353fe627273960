import { expect, test } from "vitest";
import { recordedIn } from "../src/components/model/Verdict";

const line = (more: object) => JSON.stringify({ text_input: "a", output: "b", ...more });

test("answers of an old model are found in the lines that rescue wrote", () => {
  const content = [line({ answer: "b", model: "old" }), "", line({ answer: "", model: "old" }), ""].join("\n");
  expect(recordedIn(content)).toEqual({ title: "old", answers: ["b", ""] });
});

test("other files have none", () => {
  expect(recordedIn("text_input,output\na,b\n")).toBeUndefined();
  expect(recordedIn(line({}))).toBeUndefined();
  expect(recordedIn([line({ answer: "b", model: "old" }), line({})].join("\n"))).toBeUndefined();
  expect(recordedIn(JSON.stringify({ question: "a", answer: "b" }))).toBeUndefined(); // the user's own column
  expect(recordedIn("")).toBeUndefined();
  expect(recordedIn("null")).toBeUndefined();
});
