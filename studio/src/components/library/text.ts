// Texts of My Library.

import { count, counted } from "../../format";
import { text as shared } from "../text";

const models = (number: number) => counted(number, "tuned model");

export const text = {
  ...shared,
  library: {
    title: "My Library",
    models: "Tuned models",
    prompts: "Structured prompts",
    empty: "No tuned models yet.",
    emptyHelp: "Add 20 to 500 examples of an input and the answer you want, then press Tune.",
    trySample: "Try a sample data set",
    importPrompt: "Import from Google AI Studio",
    search: "Search name or description",
    filter: "Show",
    nothing: "Nothing found. Try other words or another filter.",
    noneShared: "Nobody has shared a model with you yet.",
    noneEveryone: "No model is shared with everyone on this server.",
    filters: { mine: "Mine", shared: "Shared with me", everyone: "Everyone" },
    columns: {
      name: "Name",
      base: "Base model",
      state: "State",
      score: "Score",
      examples: "Examples",
      epochs: "Epochs",
      loss: "Final loss",
      took: "Tuning time",
      updated: "Updated",
      owner: "Owner",
    },
    sorted: (column: string, isRising: boolean) => `Sorted by ${column}, ${isRising ? "ascending" : "descending"}.`,
    scoreOf: (metric: string, base: string) => `${metric} of the last evaluation${base && `; base model ${base}`}`,
    compareSelected: "Compare",
    jobs: (number: number) => counted(number, "tuning job"),
    selectRow: (name: string) => `Select ${name}`,
    selectAll: "Select all rows",
    selected: (rows: number) => `${count(rows)} selected`,
    removeSelected: "Delete selected",
    removeManyTitle: (number: number) => `Delete ${models(number)}?`,
    removeManyText: "Their examples, loss curves and weights will be permanently deleted.",
    removed: (number: number) => `${models(number)} deleted.`,
  },
  compare: {
    title: "Compare models",
    ask: "Ask them in the playground",
    differs: "differs",
    baseScore: "Score of the base model",
    source: "Source",
    heldOut: "Held-out rows",
    batch: "Batch size",
    rate: "Learning rate",
    seed: "Seed",
    heldOutLoss: "Final held-out loss",
    losses: "Mean loss of each epoch",
    told: (lines: string) => `Mean loss of each epoch. ${lines}`,
    epoch: (number: number) => `Epoch ${number}`,
  },
} as const;
