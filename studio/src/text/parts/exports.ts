// Exports of a tuned model, their proofs, and its epochs.

export const exports = {
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
  epochs: {
    epoch: "Epoch",
    chosen: "The chosen epoch",
    number: (number: number) => `Epoch ${number}`,
    of: (label: string) => `Epoch of “${label}”`,
    suffix: (title: string, epoch: string) => (epoch ? `${title}, epoch ${epoch}` : title),
  },
} as const;
