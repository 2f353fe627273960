import { splitEpoch, useBaseModels, useTunedModels } from "../api/models";
import { text } from "../text/en";

export type ModelName = { name: string; title: string; isReady: boolean };
export type ModelNames = {
  tuned: ModelName[];
  bases: ModelName[];
  ready: ModelName[];
  titleOf: (name: string) => string;
};

/** Every model that one may ask, by what it is called: one's own, those shared, and the bases. */
export function useModelNames(): ModelNames {
  const mine = useTunedModels("readers:me").data ?? [];
  const open = useTunedModels("readers:everyone").data ?? [];
  const known = new Set(mine.map(({ name }) => name));
  const tuned = [...mine, ...open.filter(({ name }) => !known.has(name))].map((model) => ({
    name: model.name,
    title: model.displayName,
    isReady: model.state === "ACTIVE",
  }));
  const bases = (useBaseModels().data ?? []).map(({ name, displayName }) => ({
    name,
    title: displayName,
    isReady: true,
  }));
  const all = [...tuned, ...bases];
  return {
    tuned,
    bases,
    ready: all.filter(({ isReady }) => isReady),
    titleOf: (name) => {
      const [plain, epoch] = splitEpoch(name);
      return text.epochs.suffix(all.find((model) => model.name === plain)?.title ?? plain, epoch);
    },
  };
}
