// The points of a loss curve: their positions, and fewer or smoother points if there are too many to see.

import type { Snapshot } from "../../api/client";

export type Point = { step: number; epoch: number; loss: number };

const MAX_POINTS = 1000;

export function points(snapshots: Snapshot[], batchSize: number, examples: number): Point[] {
  return snapshots.map(({ step, meanLoss }) => ({
    step,
    epoch: (step * batchSize) / examples,
    loss: Number(meanLoss),
  }));
}

/** At most `limit` points: the lowest and the highest of each bucket, so that no peak is lost. */
export function thinned(all: Point[], limit = MAX_POINTS): Point[] {
  if (all.length <= limit) return all;
  const size = Math.ceil(all.length / (limit / 2));
  const kept: Point[] = [];
  for (let start = 0; start < all.length; start += size) {
    const bucket = all.slice(start, start + size);
    const low = bucket.reduce((a, b) => (b.loss < a.loss ? b : a));
    const high = bucket.reduce((a, b) => (b.loss > a.loss ? b : a));
    kept.push(...(low === high ? [low] : [low, high].sort((a, b) => a.step - b.step)));
  }
  return kept;
}

const MEMORY = 0.9;

/** Exponential moving average of the losses. */
export function smoothed(all: Point[]): Point[] {
  let mean: number | undefined;
  return all.map((point) => {
    mean = mean === undefined ? point.loss : MEMORY * mean + (1 - MEMORY) * point.loss;
    return { ...point, loss: mean };
  });
}
