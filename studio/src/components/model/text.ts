// Texts of a tuned model's page: progress, curve, held-out rows, reports, export.

import { count, counted, duration } from "../../format";
import { text as shared } from "../text";

const rows = (number: number) => counted(number, "row");

/** Kinds of findings of a data check, singular and plural. */
const FINDINGS: Record<string, [string, string]> = {
  DUPLICATE: ["duplicate", "duplicates"],
  NEAR_DUPLICATE: ["near duplicate", "near duplicates"],
  CONTRADICTION: ["contradiction", "contradictions"],
  HELD_OUT_COPY: ["copy of a held-out row", "copies of held-out rows"],
  LABEL_VARIANT: ["label with a second spelling", "labels with a second spelling"],
  CUT_ROW: ["row that is cut off", "rows that are cut off"],
  LIKELY_MISLABELLED: ["output that is probably wrong", "outputs that are probably wrong"],
  STILL_WRONG: ["row the model still gets wrong", "rows the model still gets wrong"],
};

export const text = {
  ...shared,
  phases: {
    QUEUED: { name: "Queued", now: "Waiting for other jobs to finish." },
    PREPARING: { name: "Preparing", now: "Loading the base model and reading your data…" },
    RUNNING: { name: "Tuning", now: "Learning from your examples…" },
    PUBLISHING: { name: "Saving", now: "Saving and checking the model…" },
  },
  model: {
    progress: "Progress",
    compare: "Compare",
    useEpoch: (epoch: number) => `Use epoch ${epoch}`,
    servedEpoch: "Epoch in use",
    servedEpochHelp: "This epoch is used for answers, exports and further tuning. The change takes effect immediately.",
    serves: (epoch: number) => `Epoch ${epoch} is in use.`,
    epochOf: (epoch: number, isBest: boolean) => `Epoch ${epoch}${isBest ? " (lowest held-out loss)" : ""}`,
    betweenEpochs: "The last step before tuning was cancelled",
    rename: "Rename",
    saveName: "Save",
    cancelling: "Cancelling after this step…",
    position: (epoch: number, all: number, step: number, steps: number, percent: number) =>
      `Epoch ${epoch} of ${all} · step ${count(step)} of ${count(steps)} · ${percent} %`,
    announceEpoch: (epoch: number, all: number) => `Epoch ${epoch} of ${all}.`,
    overview: "Overview",
    heldOut: "Held-out rows",
    data: "Data",
    api: "API",
    log: "Log",
    loss: "Loss",
    settings: "Settings",
    base: "Base model",
    rate: "Learning rate",
    epochs: "Epochs",
    batch: "Batch size",
    seed: "Seed",
    created: "Created",
    dataFacts: "Data",
    rows: "Rows",
    heldOutRows: "Held out",
    source: "Source",
    contract: "Expected input and output",
    wrap: "Automatically add the instruction used in the examples",
    card: "Model card",
    machine: "Technical details",
    digest: "SHA-256",
    seen: "Examples as the model saw them",
    seenHelp: "With the base model's template and special tokens. The model learns the marked part only.",
    cancelledAt: (epoch: number, all: number) => `Cancelled in epoch ${epoch} of ${all}. Answers may be unpredictable.`,
    cancelledEarly: "Cancelled before the first step, so there is no model to use.",
    failedTitle: "Tuning failed",
    failedHelp: "Try again. If it keeps failing, the log may tell you more.",
    againSame: "Tune again with these settings",
    againRate: (rate: number) => `Tune again with learning rate ${rate}`,
    stopReport: "Stop",
    noReport: "There is no report yet. The owner and writers of the model can start one.",
    noLog: "Nothing has been logged yet.",
    logLines: "Lines of the log",
    logHelp: "The last 200 lines.",
    gone: "This tuned model doesn't exist. It may have been deleted.",
  },
  chart: {
    none: "The curve will appear after the first step.",
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
    view: "View",
    stepLoss: "Step loss",
    epochLoss: "Epoch mean",
    heldOutLoss: "Held-out rows",
    best: "lowest held-out loss",
    served: "in use",
    flat: "flat",
    read: "Loss per epoch; use the arrow keys to read it",
    point: (epoch: number, loss: string, heldOut?: string) =>
      `Epoch ${epoch}: mean loss ${loss}${heldOut ? `, held-out rows ${heldOut}` : ""}`,
  },
  heldOut: {
    none: "This model was tuned without held-out rows. Hold out 10 % next time to see how it answers rows it hasn't seen.",
    help: "Rows the model hasn't seen. Compare how the base model and the tuned model answer them (temperature 0).",
    run: (number: number) => `Run both models on ${rows(number)}`,
    more: (number: number) => `Run ${number} more`,
    stop: "Stop",
    table: "Table of held-out rows",
    begins: "Every input starts with:",
    input: "Input",
    expected: "Expected",
    base: "Base model",
    tuned: "Tuned model",
    order: "Order",
    orders: { given: "Original", best: "Best first", worst: "Worst first", random: "Random" },
    right: (tuned: number, base: number, all: number) =>
      `Exact matches: tuned model ${tuned} of ${all}, base model ${base} of ${all}.`,
    same: "as expected",
    differs: "not as expected",
    notRun: "not run yet",
  },
  epochAnswers: {
    title: "Answers after each epoch",
    table: "Answers by row and epoch",
    heldOut: "Three rows that the model doesn't learn from.",
    learned: "Three of the examples. The model learns from them, so right answers here prove little.",
    epoch: (epoch: number) => `Epoch ${epoch}`,
  },
  verdict: {
    title: "Did tuning help?",
    start: "Evaluate",
    again: "Evaluate again",
    help: "Runs the tuned model, the base model, the base model with examples in the prompt, and simple baselines on the held-out rows, then says in one sentence whether tuning was worth it. Takes a few minutes.",
    running: (percent: number, isKnown: boolean) =>
      isKnown ? `Testing the model: ${percent} %` : "Testing the model…",
    runningFolds: (percent: number, isKnown: boolean) =>
      isKnown
        ? `Tuning without some of the rows and testing on those: ${percent} %. You can use the model meanwhile.`
        : "Tuning without some of the rows and testing on those…",
    folds: {
      start: "Find out",
      help: "Tunes three more times, each time without a third of the rows, and tests on those. Takes about twice as long as tuning did. Or choose a file with rows that were not used for tuning; a file from “tunery rescue” adds your old model to the comparison.",
    },
    examples: "Example answers",
    answer: (answer: string) => (answer === "" ? "(empty answer)" : answer),
    right: "as expected",
    expected: (output: string) => `expected: ${output}`,
    otherEpoch: (measured?: number, now?: number) =>
      `This was measured with epoch ${measured ?? "?"}. ${now === undefined ? "Another state" : `Epoch ${now}`} is in use now; evaluate again for its figures.`,
    allRowsHelp: (heldOut: number) => `The model has not learned from the ${rows(heldOut)} kept aside.`,
    allRows: (all: number) => `Tune on all ${rows(all)}`,
    otherRows: "Evaluate on a file…",
    wrongFile: (name: string, { message, row, column }: { message: string; row?: number; column?: string }) =>
      `${[name, row && `row ${row}`, column && `column ${column}`].filter(Boolean).join(", ")}: ${message}`,
    caption: (all: number, source: string, metric: string) => `${rows(all)} (${source}), ${metric}`,
    candidate: "Method",
    score: "Score",
    range: "Range (95 %)",
    confusion: "Which labels are confused",
    confusionHelp: "Rows: the expected label. Columns: the answer of the tuned model.",
    anyOther: "other",
    worst: "Worst rows",
    row: (row: number) => `Row ${row}`,
    instead: (expected: string, answer: string) => `Expected “${expected}”, got “${answer}”.`,
  },
  dataCheck: {
    title: "Rows to check",
    start: "Check rows",
    again: "Check again",
    help: "Looks for duplicates, contradictions, copies of held-out rows, labels with two spellings, rows that are cut off, and rows the model still gets wrong. Takes about as long as one epoch. “Find wrong labels” also tunes five times, each time without a fifth of the rows, and checks those; this takes several times as long as tuning did.",
    tuneToo: "Find wrong labels (slow)",
    running: (checked: number, all?: number) => (all ? `Checking: ${count(checked)} of ${rows(all)}.` : "Checking…"),
    found: (all: number, kinds: string[]) =>
      kinds.length > 0
        ? `In ${rows(all)}: ${kinds.join(", ")}. A flagged row is not always wrong; some are just difficult.`
        : `No problems found in ${rows(all)}.`,
    kind: (kind: string, number: number) => counted(number, ...(FINDINGS[kind] ?? [kind, kind])),
    table: "Table of rows to check",
    row: "Row",
    why: "Problem",
    output: "Output",
    leftOut: "Will be removed",
    becomes: (output: string) => `Will become “${output}”`,
    without: (number: number) =>
      number === 1 ? "Tune again without this row" : `Tune again without these ${rows(number)}`,
    fixed: (number: number) => `Tune again with ${rows(number)} fixed`,
  },
  dataCurve: {
    title: "Would more examples help?",
    start: "Find out",
    again: "Find out again",
    help: "Tunes on growing parts of your data and tests on the rest, to estimate how much more examples would help. Takes about twice as long as tuning did; answers and tuning jobs have priority.",
    running: (tuning: number, all?: number) =>
      all ? `Tuning on parts of the data: ${tuning} of ${all}.` : "Tuning on parts of the data…",
    caption: (metric: string) => `Measured by ${metric} on rows that were not used for tuning`,
    rows: "Rows used for tuning",
    score: "Score",
    measured: (number: number, tested: number) => `${count(number)}, tested on ${count(tested)} others`,
  },
  exports: {
    title: (name: string) => `Export “${name}”`,
    format: "Format",
    formats: {
      adapter: {
        label: "PEFT (adapter)",
        help: "The weights of the adapter only. Needs the base model.",
      },
      merged: {
        label: "transformers (merged weights)",
        help: "The full model as safetensors, with its tokenizer. Doesn't need PEFT.",
      },
      gguf: {
        label: "llama.cpp and Ollama (GGUF)",
        help: "The full model, the adapter, and an Ollama Modelfile.",
      },
    },
    withSize: (label: string, size?: string) => (size ? `${label} · about ${size}` : label),
    bits: "Bits per weight",
    bitsOptions: { "8": "8 (recommended)", "16": "16", "": "A file of each" },
    prove: (hasHeldOut: boolean) =>
      `Check that the export gives the same answers (up to 100 ${hasHeldOut ? "held-out" : "training"} rows, takes a few minutes)`,
    download: "Download",
    preparing: (seconds: number, proves: boolean) =>
      `Preparing… ${duration(seconds)}.${proves ? " Checking the answers takes a few minutes." : ""}`,
    downloading: (done: string, all: string) => `Downloading… ${done} of ${all}.`,
    preparingNow: "Preparing the export.", // for screen readers, so that they do not announce every second
    downloadingNow: "Downloading the export.",
    goesOn: "It continues if you close this window.",
    other: "Another export is in progress.",
    proofs: "Checks",
    what: (format: string, file: string, epoch: number | null) => {
      const name = file.includes(".gguf") ? file : format;
      return epoch === null ? name : `${name} of epoch ${epoch}`;
    },
    agreed: (what: string, runtime: string, agreed: number, rows: number, rowsFrom: string) =>
      `${what}: ${runtime} gives the same answer as this model on ${agreed} of ${rows} ${rowsFrom} rows.`,
    notProven: (what: string, reason: string) => `${what}: not checked. ${reason}`,
  },
} as const;
