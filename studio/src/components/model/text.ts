// Words of the page of a tuned model: progress, curve, held-out rows, reports, export.

import { count } from "../../format";
import { text as shared } from "../text";

const epochs = (number: number) => `${number} ${number === 1 ? "epoch" : "epochs"}`;

const rows = (number: number) => `${count(number)} ${number === 1 ? "row" : "rows"}`;
const some = (one: string, many: string) => (number: number) => `${count(number)} ${number === 1 ? one : many}`;

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

export const text = {
  ...shared,
  phase: {
    label: "Progress",
    QUEUED: ["Queued", "The job waits for its turn."],
    PREPARING: ["Preparing", "The base model is loaded and the data is read."],
    RUNNING: ["Tuning", "The model learns your examples."],
    PUBLISHING: ["Saving", "What was learned is written and checked."],
  } as Record<string, readonly [string, string] | string>,
  model: {
    ready: (name: string) => `“${name}” is ready.`,
    failedToast: (name: string) => `Tuning “${name}” failed.`,
    use: "Use in playground",
    compare: "Compare",
    export: "Export",
    again: "Tune again",
    againWith: (number: number) => `Tune again with ${epochs(number)}`,
    remove: "Delete",
    rename: "Rename",
    saveName: "Save",
    cancel: "Cancel tuning",
    cancelTitle: (name: string) => `Stop tuning “${name}”?`,
    cancelText:
      "A model stopped early answers unpredictably. To stop at an earlier epoch, start a new run with fewer epochs.",
    cancelling: "Stopping after this step…",
    keep: "Keep tuning",
    stop: "Stop tuning",
    removeTitle: (name: string) => `Delete “${name}”?`,
    removeText: "Its examples, curve and weights are deleted for good.",
    removed: (name: string) => `“${name}” was deleted.`,
    keepModel: "Keep it",
    position: (epoch: number, all: number, step: number, steps: number, percent: number) =>
      `Epoch ${epoch} of ${all} · step ${count(step)} of ${count(steps)} · ${percent} %`,
    announceEpoch: (epoch: number, all: number) => `Epoch ${epoch} of ${all}.`,
    overview: "Overview",
    heldOut: "Held-out rows",
    data: "Data",
    api: "API",
    log: "Log",
    loss: "Loss",
    settings: "Settings of this run",
    base: "Base model",
    rate: "Learning rate",
    epochs: "Epochs",
    batch: "Batch size",
    seed: "Seed",
    created: "Created",
    took: "Tuned in",
    dataFacts: "Data",
    rows: "Rows",
    heldOutRows: "Held out",
    source: "Source",
    versions: "Versions",
    contract: "What calls should look like",
    wrap: "Add to plain inputs what the examples have around theirs",
    card: "Model card",
    machine: "Machine",
    digest: "SHA-256",
    seen: "Rows as the model saw them",
    seenHelp: "With the template and special tokens of the base. Only what follows the answer mark is learned.",
    cancelledAt: (epoch: number, all: number) => `Cancelled at epoch ${epoch} of ${all}. Answers may be unpredictable.`,
    cancelledEarly: "Cancelled before the first step. There is nothing to use.",
    failedTitle: "Tuning failed",
    failedHelp: "Change what the message names, then tune again with these settings.",
    againSame: "Tune again with these settings",
    stopInquiry: "Stop",
    notAsked: "Nobody has asked for this yet.",
    noLog: "The server has begun anew since; the log of this job is gone.",
    logHelp: "The last 200 lines of the job.",
    gone: "There is no tuned model with this id. It may have been deleted.",
  },
  help: {
    memory: "Use a smaller batch size or a smaller base model.",
    unstable: "Use a smaller learning rate.",
    disk: "Free some disk space on the server.",
    data: "Mend the examples that the message names.",
    other: "Try again; if it fails again, the log says more.",
  },
  chart: {
    summary: (from: string, to: string, all: number, knee?: number) =>
      all === 1
        ? `Loss was ${to} over the first epoch.`
        : `Loss ${Number(to) < Number(from) ? "fell" : "went"} from ${from} to ${to} over ${epochs(all)}${knee ? `; flat after epoch ${knee}` : ""}.`,
    now: (loss: string, step: number) => `Loss is ${loss} at step ${step}.`,
    none: "The curve begins with the first step.",
    table: "Table",
    epochs: "Epochs",
    epoch: "Epoch",
    steps: "Steps",
    step: "Step",
    loss: "Loss",
    log: "Log scale",
    smooth: "Smooth",
    csv: "CSV",
    svg: "SVG",
    axis: "Axis",
    view: "View",
    stepLoss: "Mean loss per step",
    epochLoss: "Mean of an epoch",
    heldOutLoss: "Held-out rows",
    best: "best epoch",
    flat: "flat",
    read: "Loss per epoch; arrow keys read it",
    point: (epoch: number, loss: string, heldOut?: string) =>
      `Epoch ${epoch}: mean loss ${loss}${heldOut ? `, held-out rows ${heldOut}` : ""}`,
  },
  heldOut: {
    none: "This model was tuned without held-out rows. Hold out 10 % next time to see how it answers rows it has not learned.",
    help: "Rows the model has not learned. Base and tuned model answer them here, each with its likeliest words.",
    ask: (number: number) => `Ask both models ${number} rows`,
    more: (number: number) => `Ask ${number} more`,
    stop: "Stop",
    begins: "Every input begins with:",
    input: "Input",
    expected: "Expected",
    base: "Base",
    tuned: "Tuned",
    order: "Order",
    orders: { given: "As given", best: "Best first", worst: "Worst first", random: "Random" },
    right: (tuned: number, base: number, all: number) =>
      `Exactly right: tuned ${tuned} of ${all}, base ${base} of ${all}.`,
    same: "same as expected",
    differs: "differs from expected",
    notAsked: "not asked yet",
  },
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
  exports: {
    title: (name: string) => `Export “${name}”`,
    format: "For",
    formats: {
      adapter: {
        label: "PEFT (adapter)",
        help: "Some megabytes. The base model has to be beside it.",
      },
      merged: {
        label: "transformers (merged weights)",
        help: "A whole model as safetensors, with its tokenizer. Needs no PEFT.",
      },
      gguf: {
        label: "llama.cpp and Ollama (GGUF)",
        help: "Whole models with 16 and 8 bits a weight, the adapter alone, and a Modelfile.",
      },
    },
    prove: (hasHeldOut: boolean) =>
      `Prove that it answers the same there: up to 100 ${hasHeldOut ? "held-out" : "training"} rows are asked`,
    download: "Download",
    proving: "The proof takes some minutes; then the download begins.",
    proofs: "Proofs",
    what: (format: string, file: string, epoch: number | null) => {
      const name = file.includes(".gguf") ? file : format;
      return epoch === null ? name : `${name} of epoch ${epoch}`;
    },
    agreed: (what: string, runtime: string, agreed: number, rows: number, rowsFrom: string) =>
      `${what}: ${runtime} answers ${agreed} of ${rows} ${rowsFrom} rows as this model does.`,
    notProven: (what: string, reason: string) => `${what}: not proven. ${reason}`,
  },
} as const;
