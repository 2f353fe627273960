import { expect, test } from "vitest";
import { DEFAULTS } from "../src/api/answers";
import { EMPTY, requestOf } from "../src/draft";
import { answerSnippets, createSnippets, examplesFile } from "../src/snippets";

const PROMPT = `it's "so"`;

test("quotes in a prompt do not break out of the snippets", () => {
  const { curl, "Command line": command } = answerSnippets("http://x", "tunedModels/a", PROMPT);
  expect(curl).toContain(`it'\\''s`);
  expect(command).toBe(`tunery generate a 'it'\\''s "so"'`);
});

test("settings that differ from the defaults stand in every snippet, others in none", () => {
  const plain = answerSnippets("http://x", "tunedModels/a", "7");
  const warm = answerSnippets("http://x", "tunedModels/a", "7", { ...DEFAULTS, temperature: 0.7 });
  for (const [name, code] of Object.entries(warm)) {
    expect(code, name).toContain("0.7");
    expect(plain[name], name).not.toContain("emperature");
  }
});

test("answering only as the examples do is said where it can be", () => {
  const settings = { ...DEFAULTS, constrainToTrainingOutputs: true };
  const unsure = answerSnippets("http://x", "tunedModels/a", "7", { ...settings, noneBelow: 0.6 });
  expect(unsure.curl).toContain('"noneBelow":0.6,"noneLabel":"unsure"');
  expect(unsure["Command line"]).toContain("--constrain-to-training-outputs --none-below 0.6");
  expect(unsure["Python (google-genai)"]).not.toContain("none");
  const tuned = answerSnippets("http://x", "tunedModels/a", "7", settings);
  expect(tuned.curl).toContain('"constrainToTrainingOutputs":true');
  expect(tuned["Command line"]).toBe("tunery generate a '7' --constrain-to-training-outputs");
  expect(tuned["Python (google-genai)"]).not.toContain("onstrain");
  expect(answerSnippets("http://x", "models/b", "7", settings).curl).not.toContain("onstrain");
});

test("a request with few examples holds them, with many it reads a file", () => {
  const example = { textInput: "1", output: "2" };
  const few = requestOf({ ...EMPTY, baseModel: "models/b", displayName: "n", examples: [example] });
  const many = requestOf({
    ...EMPTY,
    baseModel: "models/b",
    displayName: "n",
    examples: Array(11).fill(example),
  });
  expect(createSnippets("http://x", few, "")["Python"]).toContain('{"textInput": "1", "output": "2"}');
  expect(createSnippets("http://x", many, "my-id").curl).toContain('"http://x/v1beta/tunedModels?tunedModelId=my-id"');
  expect(createSnippets("http://x", many, "").Python).toContain('open("examples.jsonl"');
});

test("the command has the settings of the request", () => {
  const command = (part: Partial<typeof EMPTY>) =>
    createSnippets("http://x", requestOf({ ...EMPTY, ...part }), "")["Command line"];
  expect(command({})).toContain("--epochs 5 \\\n  --batch-size 4 \\\n  --learning-rate 0.001 \\\n");
  expect(command({ settings: "auto" })).toContain("--settings auto");
  expect(command({ settings: "auto" })).not.toContain("--epochs");
  expect(command({ epochCount: 20, labelShare: 0.5 })).toMatch(/--epochs 20(.|\n)*--settings auto/);
});

test("a file of examples has one JSON object a line", () => {
  expect(examplesFile([{ textInput: "a\nb", output: "c" }])).toBe('{"text_input":"a\\nb","output":"c"}\n');
});
