// Texts of what is found out about a tuned model on request: the verdict, doubtful rows, what more rows would bring.

import { count } from "../../format";

const rows = (number: number) => `${count(number)} ${number === 1 ? "row" : "rows"}`;
const some = (one: string, many: string) => (number: number) =>
  `${count(number)} ${number === 1 ? one : many}`;

const KINDS: Record<string, (number: number) => string> = {
  DUPLICATE: some("duplicate", "duplicates"),
  NEAR_DUPLICATE: some("near duplicate", "near duplicates"),
  CONTRADICTION: some("contradiction", "contradictions"),
  HELD_OUT_COPY: some("copy of a held-out row", "copies of held-out rows"),
  LABEL_VARIANT: some("label in another spelling", "labels in another spelling"),
  CUT_ROW: some("row that was cut", "rows that were cut"),
  LIKELY_MISLABELLED: some("likely wrong output", "likely wrong outputs"),
  STILL_WRONG: some("row that the model still gets wrong", "rows that the model still gets wrong"),
};

export const inquiries = {
  verdict: {
    title: "Did tuning help?",
    ask: "Evaluate",
    again: "Evaluate again",
    help: "Asks the tuned model, its base, its base with examples in the prompt, and simple baselines the held-out rows, and says in one sentence whether tuning was worth it. Takes minutes.",
    running: (answered: number, all?: number) =>
      all ? `Evaluating: ${count(answered)} of ${count(all)} answers.` : "Evaluating…",
    helpWithout:
      "Choose a file with rows that were not tuned on: the tuned model, its base, its base with examples in the prompt, and simple baselines answer them, and one sentence says whether tuning was worth it. A file that “tunery rescue” wrote adds the old model. Takes minutes.",
    otherRows: "Evaluate on a file…",
    wrongFile: (name: string, { message, row, column }: { message: string; row?: number; column?: string }) =>
      `${[name, row && `row ${row}`, column && `column ${column}`].filter(Boolean).join(", ")}: ${message}`,
    caption: (all: number, source: string, metric: string) =>
      `${rows(all)} (${source}), ${metric}; ranges with 95 % confidence`,
    contender: "Way to answer",
    score: "Score",
    range: "95 % range",
    worst: "Worst rows",
    row: (row: number) => `Row ${row}`,
    instead: (expected: string, answer: string) => `Expected “${expected}”, answered “${answer}”.`,
  },
  examination: {
    title: "Doubtful rows",
    ask: "Examine rows",
    again: "Examine again",
    help: "Looks for duplicates, contradictions, copies of held-out rows, labels in two spellings, rows that were cut, and rows that the model still gets wrong. Takes about as long as one epoch. Wrong outputs are found better by tuning five times, each time without the rows that are then doubted; that takes a few times as long as tuning did.",
    tuneToo: "Look for wrong outputs",
    running: (examined: number, all?: number) =>
      all ? `Examining: ${count(examined)} of ${rows(all)}.` : "Examining…",
    found: (all: number, kinds: string[]) =>
      kinds.length > 0
        ? `In ${rows(all)}: ${kinds.join(", ")}. Doubt is no proof: some doubted rows are right and hard.`
        : `Nothing doubtful in ${rows(all)}.`,
    kind: (kind: string, number: number) => (KINDS[kind] ?? some(kind, kind))(number),
    row: "Row",
    why: "What is doubtful",
    output: "Output",
    leftOut: "Left out of a mended copy",
    becomes: (output: string) => `Becomes “${output}” in a mended copy`,
    mend: (number: number) => `Tune again with ${rows(number)} mended`,
  },
  dataCurve: {
    title: "Would more examples help?",
    ask: "Find out",
    again: "Find out again",
    help: "Tunes on parts of the rows and measures each on the rest: what it gains from part to part says what more rows would bring. Takes about twice as long as tuning did; answers and tuning jobs go first.",
    running: (tuning: number, all?: number) =>
      all ? `Tuning on parts of the rows: ${tuning} of ${all}.` : "Tuning on parts of the rows…",
    caption: (metric: string) => `Measured by ${metric} on rows that were not tuned on`,
    rows: "Rows tuned on",
    score: "Score",
    measured: (number: number, tested: number) => `${count(number)}, tested on ${count(tested)} others`,
  },
} as const;
