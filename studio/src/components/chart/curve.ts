// The loss curve: steps grouped into epochs, and fewer points where there are more than can be seen.

import type { Snapshot } from "../../api/client";
import { epochOf } from "../../format";

type Point = { step: number; epoch: number; loss: number };
/** The mean of a pass over the examples; `end` is how far it has come, in epochs: the last one may be under way. */
export type EpochPoint = { epoch: number; step: number; end: number; loss: number };

const MAX_POINTS = 1000;

export function points(snapshots: Snapshot[], batchSize: number, examples: number): Point[] {
  return snapshots.map(({ step, meanLoss }) => ({
    step,
    epoch: (step * batchSize) / examples,
    loss: Number(meanLoss),
  }));
}

/** Means of the steps of each pass; the last step may reach beyond the last one. */
export function epochMeans(
  snapshots: Snapshot[],
  batchSize: number,
  examples: number,
  epochCount: number,
): EpochPoint[] {
  const groups = new Map<number, Snapshot[]>();
  for (const snapshot of snapshots) {
    const epoch = Math.min(epochCount, epochOf(snapshot.step, batchSize, examples));
    groups.set(epoch, [...(groups.get(epoch) ?? []), snapshot]);
  }
  const last = snapshots.at(-1)?.step ?? 0;
  return [...groups].map(([epoch, group]) => ({
    epoch,
    step: group.at(-1)?.step ?? 0,
    end: Math.min(epoch, (last * batchSize) / examples),
    loss: group.reduce((sum, { meanLoss }) => sum + Number(meanLoss), 0) / group.length,
  }));
}

/** At most a thousand points: of each bucket the lowest and the highest, so that no peak is lost. */
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

const MEMORY = 0.9; // share of what was before in each smoothed point

/** The losses with each one drawn towards those before it. */
export function smoothed(all: Point[]): Point[] {
  let mean: number | undefined;
  return all.map((point) => {
    mean = mean === undefined ? point.loss : MEMORY * mean + (1 - MEMORY) * point.loss;
    return { ...point, loss: mean };
  });
}

/** The epoch with the lowest loss on held-out rows; undefined if it was not measured at least twice. */
export function bestEpoch(losses: { epoch: number; heldOutLoss?: number | string }[]): number | undefined {
  const measured = losses.filter((entry) => entry.heldOutLoss !== undefined);
  if (measured.length < 2) return undefined;
  return measured.reduce((a, b) => (Number(b.heldOutLoss) < Number(a.heldOutLoss) ? b : a)).epoch;
}
