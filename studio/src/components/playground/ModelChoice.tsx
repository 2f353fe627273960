import { splitEpoch } from "../../api/models";
import type { ModelName, ModelNames } from "../../hooks/useModelNames";
import { text } from "../../text/en";
import { SelectField } from "../SelectField";
import { EpochChoice } from "./EpochChoice";

type Props = {
  label: string;
  names: ModelNames;
  value: string;
  choose: (name: string) => void;
  isOptional?: boolean;
};

/** A tuned model, at an epoch perhaps, or a base; those that are still being made cannot be chosen. */
export function ModelChoice({ label, names, value, choose, isOptional }: Props) {
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
