import type { BaseModel } from "../../api/client";
import { useTunedModels } from "../../api/models";
import { useServerInfo } from "../../api/server";
import type { Draft } from "../../draft";
import { parameters } from "../../format";
import { text } from "../../text/en";
import { SelectField } from "../SelectField";

type Props = { draft: Draft; change: (part: Partial<Draft>) => void; bases: BaseModel[] };

/** The base that is tuned, or one's own tuned model to go on from; with size, licence, and whether it fits. */
export function BaseField({ draft, change, bases }: Props) {
  const own = (useTunedModels("owner:me").data ?? []).filter(({ state }) => state === "ACTIVE");
  const free = useServerInfo().data?.device?.freeMemoryBytes;
  const base = bases.find(({ name }) => name === draft.baseModel);
  return (
    <SelectField
      label={text.create.base}
      value={draft.baseModel}
      change={(baseModel) => change({ baseModel })}
      help={base && <BaseHelp base={base} free={free} />}
    >
      <optgroup label={text.create.bases}>
        {bases.map(({ name, displayName }) => (
          <option key={name} value={name}>
            {displayName}
          </option>
        ))}
      </optgroup>
      {own.length > 0 && (
        <optgroup label={text.create.ownModels}>
          {own.map(({ name, displayName }) => (
            <option key={name} value={name}>
              {displayName}
            </option>
          ))}
        </optgroup>
      )}
    </SelectField>
  );
}

function BaseHelp({ base, free }: { base: BaseModel; free?: number }) {
  const { baseWeights, licence, tuningMemoryBytes, isPresent, description } = base;
  const fits = tuningMemoryBytes === undefined || free === undefined ? undefined : tuningMemoryBytes <= free;
  const isAlias = !base.name.endsWith(baseWeights);
  return (
    <>
      {description} {isAlias && `${text.create.weights(baseWeights)}. `}
      {text.create.baseFacts(parameters(base.parameters), licence)}
      {" · "}
      {!isPresent && text.create.absent}
      {isPresent && fits !== undefined && (fits ? text.create.fits : text.create.tooLarge)}
    </>
  );
}
