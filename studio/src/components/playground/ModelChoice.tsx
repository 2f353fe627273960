import { useBaseModels, useTunedModels } from "../../api/models";
import { atEpoch, idOf, splitEpoch } from "../../api/client";
import { useCard } from "../../api/reports";
import { SelectField } from "../controls";
import { text } from "./text";

type ModelChoiceProps = {
  label: string;
  names: ModelNames;
  value: string;
  choose: (name: string) => void;
  isOptional?: boolean;
};

/** A tuned model, at an epoch perhaps, or a base; those that are still being made cannot be chosen. */
export function ModelChoice({ label, names, value, choose, isOptional }: ModelChoiceProps) {
  const [plain] = splitEpoch(value);
  const isKnown = plain === "" || [...names.tuned, ...names.bases].some(({ name }) => name === plain);
  return (
    <div className="stack tight">
      <SelectField label={label} value={plain} change={choose}>
        {isOptional && <option value="">{text.playground.none}</option>}
        {!isKnown && <option value={plain}>{plain}</option>}
        <Group label={text.playground.tuned} models={names.tuned} />
        <Group label={text.playground.bases} models={names.bases} />
      </SelectField>
      <EpochChoice of={label} model={value} choose={choose} />
    </div>
  );
}

function Group({ label, models }: { label: string; models: ModelName[] }) {
  if (models.length === 0) return null;
  return (
    <optgroup label={label}>
      {models.map(({ name, title, isReady }) => (
        <option key={name} value={name} disabled={!isReady}>
          {isReady ? title : text.playground.busyModel(title)}
        </option>
      ))}
    </optgroup>
  );
}

type EpochChoiceProps = { of: string; model: string; choose: (model: string) => void };

/** Which epoch of a tuned model answers, where several were kept. */
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
    >
      <option value="">{text.epochs.chosen}</option>
      {kept.map((number) => (
        <option key={number} value={number}>
          {text.epochs.number(number)}
        </option>
      ))}
    </SelectField>
  );
}

type ModelName = { name: string; title: string; isReady: boolean };
type ModelNames = {
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
