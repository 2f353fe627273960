// Words of My Library.

import { count } from "../../format";
import { text as shared } from "../text";

export const text = {
  ...shared,
  library: {
    title: "My Library",
    models: "Tuned models",
    prompts: "Structured prompts",
    empty: "No tuned models yet.",
    emptyHelp: "Bring 20 to 500 examples of what you ask and what you want to hear, and press Tune.",
    trySample: "Try a sample data set",
    importPrompt: "Import from Google AI Studio",
    search: "Search name or description",
    filter: "Show",
    nothing: "Nothing found. Try other words or another filter.",
    noneShared: "Nobody has shared a model with you yet.",
    noneEveryone: "No model is shared with everyone on this server.",
    filters: { mine: "Mine", shared: "Shared with me", everyone: "Everyone" },
    columns: {
      select: "Select",
      name: "Name",
      base: "Base model",
      state: "State",
      examples: "Examples",
      epochs: "Epochs",
      loss: "Final loss",
      took: "Tuned in",
      updated: "Updated",
      owner: "Owner",
    },
    selectRow: (name: string) => `Select ${name}`,
    selectAll: "Select all rows",
    selected: (rows: number) => `${count(rows)} selected`,
    removeSelected: "Delete selected",
    removeManyTitle: (rows: number) => `Delete ${rows} tuned ${rows === 1 ? "model" : "models"}?`,
    removed: (rows: number) => `${rows} tuned ${rows === 1 ? "model" : "models"} deleted.`,
    ahead: (waiting: number) => (waiting === 0 ? "Waiting, next" : `Waiting, ${waiting} ahead`),
    left: (time: string) => `about ${time} left`,
    step: (done: number, total: number) => `step ${count(done)} of ${count(total)}`,
    open: "Open",
    me: "You",
  },
} as const;
