// What stands in the way of tuning, in the order of the form, each with the place where it is mended.

import { isGoodId, NAME_CHARACTERS, type Draft } from "./draft";
import { text } from "./text/en";

export type FormProblem = { place: string; message: string };

export function problemsOf(draft: Draft, brokenRows: number): FormProblem[] {
  const problems: FormProblem[] = [];
  if (draft.examples.length === 0) problems.push({ place: "examples", message: text.create.needExamples });
  if (brokenRows > 0) problems.push({ place: "examples", message: text.create.brokenRows(brokenRows) });
  const name = draft.displayName.trim();
  if (name === "" || name.length > NAME_CHARACTERS)
    problems.push({ place: "model", message: text.create.needName });
  if (!isGoodId(draft.id)) problems.push({ place: "model", message: text.create.idWrong });
  return problems;
}
