// Rows of a file on which a model is evaluated instead of its held-out ones, and what an old model answered to them.

import { parseFile } from "./api/datasets";
import { ApiError, type Schemas } from "./api/client";
import { text } from "./text/en";

type Recorded = { title: string; answers: string[] };
type Line = { output: string; answer: string; model: string };

/** What to ask for a file as the server reads it; throws ApiError with the first thing that is wrong with it. */
export async function evaluationOf(file: File): Promise<Schemas["EvaluateIn"]> {
  const { examples = [], problems } = await parseFile(file, {});
  const wrong = problems.find(({ level }) => level === "error");
  if (wrong) throw new ApiError(text.verdict.wrongFile(file.name, wrong), 400, "INVALID_ARGUMENT");
  const recorded = recordedIn(await file.text());
  return {
    source: file.name,
    examples: { examples: examples.map(({ textInput, output }) => ({ textInput, output })) },
    ...(recorded && { recorded }),
  };
}

/** The answers that `tunery rescue` wrote beside rows and model, a line of JSON each; undefined in any other file. */
export function recordedIn(content: string): Recorded | undefined {
  const lines = content.split("\n").filter((line) => line.trim() !== "");
  try {
    const written = lines.map((line) => JSON.parse(line) as Line);
    const [first] = written;
    if (!first || !written.every(isRecorded)) return undefined;
    return { title: first.model, answers: written.map(({ answer }) => answer) };
  } catch {
    return undefined; // not of lines of JSON
  }
}

const isRecorded = (line: Partial<Line>) =>
  [line.output, line.answer, line.model].every((text) => typeof text === "string");
