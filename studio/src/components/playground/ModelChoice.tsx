import { useBaseModels, useTunedModels } from "../../api/models";
import { atEpoch, idOf, isAlias, splitEpoch } from "../../api/client";
import { useCard } from "../../api/reports";
import { type Option, SearchableSelect, SelectField } from "../controls";
import { text } from "./text";

type ModelChoiceProps = {
  label: string;
  names: ModelNames;
  value: string;
  choose: (name: string) => void;
  isOptional?: boolean;
};

/** Chooses a tuned model (and its epoch) or a base model; models that are not ready cannot be chosen. */
export function ModelChoice({ label, names, value, choose, isOptional }: ModelChoiceProps) {
  const [plain] = splitEpoch(value);
  const isKnown = plain === "" || [...names.tuned, ...names.bases].some(({ name }) => name === plain);
  return (
    <div className="stack tight">
      <SearchableSelect
        label={label}
        value={plain}
        change={choose}
        options={[
          ...(isOptional ? [["", text.playground.none] as const] : []),
          ...(isKnown ? [] : [[plain, plain] as const]),
        ]}
        groups={[
          [text.playground.tuned, names.tuned.map(optionOf)],
          [text.playground.bases, names.bases.filter(({ isAlias }) => !isAlias).map(optionOf)],
          [text.playground.aliases, names.bases.filter(({ isAlias }) => isAlias).map(optionOf)],
        ]}
      />
      <EpochChoice of={label} model={value} choose={choose} />
    </div>
  );
}

const optionOf = ({ name, title, isReady }: ModelName): Option => [
  name,
  isReady ? title : text.playground.busyModel(title),
  !isReady,
];

type EpochChoiceProps = { of: string; model: string; choose: (model: string) => void };

/** Chooses an epoch of a tuned model if several were kept. */
function EpochChoice({ of, model, choose }: EpochChoiceProps) {
  const isTuned = model.startsWith("tunedModels/");
  const kept = useCard(idOf(model), isTuned).data?.curve.kept_epochs ?? [];
  if (!isTuned || kept.length < 2) return null;
  const [name, epoch] = splitEpoch(model);
  return (
    <SelectField
      label={text.epochs.of(of)}
      isLabelHidden
      isSmall
      value={epoch}
      change={(next) => choose(atEpoch(name, next))}
      options={[["", text.epochs.chosen], ...kept.map((number): Option => [`${number}`, text.epochs.number(number)])]}
    />
  );
}

type ModelName = { name: string; title: string; isReady: boolean; isAlias?: boolean };
type ModelNames = {
  tuned: ModelName[];
  bases: ModelName[];
  ready: ModelName[];
  titleOf: (name: string) => string;
};

/** All models that the user can call, with their titles: own, shared and base models. */
export function useModelNames(): ModelNames {
  const mine = useTunedModels("readers:me").data ?? [];
  const open = useTunedModels("readers:everyone").data ?? [];
  const known = new Set(mine.map(({ name }) => name));
  const tuned = [...mine, ...open.filter(({ name }) => !known.has(name))].map((model) => ({
    name: model.name,
    title: model.displayName,
    isReady: model.state === "ACTIVE",
  }));
  const bases = (useBaseModels().data ?? []).map((base) => ({
    name: base.name,
    title: base.displayName,
    isReady: true,
    isAlias: isAlias(base),
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
