import { useState } from "react";
import { Button, FieldError, Input, Label, Text, TextField } from "react-aria-components";
import { useServerInfo } from "../../api/account";
import type { BaseModel } from "../../api/client";
import { useTunedModels } from "../../api/models";
import { type Draft, isGoodId, NAME_CHARACTERS } from "../../draft";
import { parameters } from "../../format";
import { SelectField } from "../controls";
import { Section } from "../Page";
import { text } from "./text";

type ModelSectionProps = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  bases: BaseModel[];
  isTold: boolean;
};

/** Name, ID, description and base model. */
export function ModelSection({ draft, change, bases, isTold }: ModelSectionProps) {
  const [isIdShown, setIdShown] = useState(draft.id !== "");
  return (
    <Section id="model" number={2} title={text.create.model}>
      <TextField
        value={draft.displayName}
        onChange={(displayName) => change({ displayName })}
        maxLength={NAME_CHARACTERS}
        isRequired
        isInvalid={isTold && draft.displayName.trim() === ""}
        validationBehavior="aria"
      >
        <Label>{text.common.name}</Label>
        <Input />
        <Text slot="description" className="help row spread">
          <span>{text.create.nameHelp}</span>
          <span>
            {draft.displayName.length}/{NAME_CHARACTERS}
          </span>
        </Text>
        <FieldError className="wrong">{text.create.needName}</FieldError>
      </TextField>
      {isIdShown ? (
        <TextField
          value={draft.id}
          onChange={(id) => change({ id })}
          maxLength={NAME_CHARACTERS}
          isInvalid={!isGoodId(draft.id)}
          validationBehavior="aria"
        >
          <Label>{text.create.id}</Label>
          <Input spellCheck="false" />
          <Text slot="description" className="help">
            {text.create.idHelp}
          </Text>
          <FieldError className="wrong">{text.create.idWrong}</FieldError>
        </TextField>
      ) : (
        <div className="flush-left">
          <Button className="button quiet" onPress={() => setIdShown(true)}>
            {text.create.showId}
          </Button>
        </div>
      )}
      <TextField value={draft.description} onChange={(description) => change({ description })}>
        <Label>{text.create.description}</Label>
        <Input />
      </TextField>
      <BaseField draft={draft} change={change} bases={bases} />
    </Section>
  );
}

type BaseFieldProps = { draft: Draft; change: (part: Partial<Draft>) => void; bases: BaseModel[] };

/** The base model, or a tuned model of the user's to continue from; with size, license, and whether it fits. */
function BaseField({ draft, change, bases }: BaseFieldProps) {
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
