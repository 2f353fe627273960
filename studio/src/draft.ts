// What a new tuned model shall be: the form as one value, and the request that it amounts to.

import type { Schemas } from "./api/client";

export type Example = { textInput: string; output: string };

export type Draft = {
  examples: Example[];
  source: string;
  displayName: string;
  description: string;
  baseModel: string;
  epochCount: number;
  batchSize: number;
  rate: "learningRate" | "learningRateMultiplier";
  learningRate: number;
  learningRateMultiplier: number;
  holdOut: string;
  seed: number;
};

export const EMPTY: Draft = {
  examples: [],
  source: "",
  displayName: "",
  description: "",
  baseModel: "",
  epochCount: 5,
  batchSize: 4,
  rate: "learningRate",
  learningRate: 0.001,
  learningRateMultiplier: 1,
  holdOut: "0",
  seed: 0,
};

export function requestOf(draft: Draft): Schemas["TunedModelIn"] {
  const { epochCount, batchSize, rate } = draft;
  return {
    displayName: draft.displayName,
    ...(draft.description && { description: draft.description }),
    baseModel: draft.baseModel,
    tuningTask: {
      hyperparameters: { epochCount, batchSize, [rate]: draft[rate] },
      ...(draft.holdOut !== "0" && { holdOut: draft.holdOut }),
      seed: draft.seed,
      // what else a row of a file carries, such as its number there, is no field of an example
      trainingData: {
        examples: { examples: draft.examples.map(({ textInput, output }) => ({ textInput, output })) },
      },
    },
  };
}

export function totalSteps(draft: Draft): number {
  return Math.ceil((draft.examples.length * draft.epochCount) / draft.batchSize);
}

/** What stands in the way of tuning, in the order of the form. */
export function missing(draft: Draft, needs: { examples: string; name: string }): string[] {
  return [
    ...(draft.examples.length === 0 ? [needs.examples] : []),
    ...(draft.displayName.trim() === "" ? [needs.name] : []),
  ];
}
