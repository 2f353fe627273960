// What becomes of examples when the sure part of what was found about them is mended; the doubtful part stays.

import type { Finding } from "./api/inquiries";
import type { Example } from "./draft";

export const canMend = ({ isDropped, newOutput }: Pick<Finding, "isDropped" | "newOutput">) =>
  isDropped || newOutput !== undefined;

/** The examples without the rows that are dropped, with the outputs that were changed; rows count from 1. */
export function mended(
  examples: Example[],
  findings: Pick<Finding, "row" | "isDropped" | "newOutput">[],
): Example[] {
  const dropped = new Set(findings.filter(({ isDropped }) => isDropped).map(({ row }) => row));
  const changed = findings.filter(({ newOutput }) => newOutput !== undefined);
  const outputs = new Map(changed.map(({ row, newOutput }) => [row, newOutput]));
  return examples
    .map(({ textInput, output }, place) => ({ textInput, output: outputs.get(place + 1) ?? output }))
    .filter((_, place) => !dropped.has(place + 1));
}
