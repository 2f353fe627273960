import { expect, test } from "vitest";
import { answerSnippets } from "../src/snippets";

test("quotes in a prompt do not break out of the snippets", () => {
  const { curl, "Command line": command } = answerSnippets("http://x", "tunedModels/a", `it's "so"`);
  expect(curl).toContain(`it'\\''s`);
  expect(command).toBe(`tunery generate a "it's \\"so\\""`);
});
