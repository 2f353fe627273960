// The order of rows in My Library: by which column, and which way.

import type { TunedModel } from "../../api/client";
import { tookSeconds } from "../../took";

export type Column = "name" | "state" | "base" | "examples" | "epochs" | "loss" | "took" | "updated";
export type Order = { by: Column; isRising: boolean } | undefined; // undefined: as the server lists them

const VALUES: Record<Column, (model: TunedModel) => string | number> = {
  name: ({ displayName }) => displayName.toLowerCase(),
  state: ({ state }) => state,
  base: ({ baseWeights }) => baseWeights,
  examples: ({ tuningTask }) => tuningTask.data.rows,
  epochs: ({ tuningTask }) => tuningTask.hyperparameters.epochCount,
  loss: ({ tuningTask }) => tuningTask.epochLosses?.at(-1)?.meanLoss ?? Infinity,
  took: ({ tuningTask }) => tookSeconds(tuningTask) ?? Infinity,
  updated: ({ updateTime }) => updateTime,
};

export function ordered(models: TunedModel[], order: Order): TunedModel[] {
  if (!order) return models;
  const value = VALUES[order.by];
  const sign = order.isRising ? 1 : -1;
  return [...models].sort((a, b) => sign * compared(value(a), value(b)));
}

function compared(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
