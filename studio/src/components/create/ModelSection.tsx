import { useState } from "react";
import { Button } from "react-aria-components";
import { useServerInfo } from "../../api/account";
import type { BaseModel } from "../../api/client";
import { useTunedModels } from "../../api/models";
import { type Draft, isGoodId, NAME_CHARACTERS } from "../../draft";
import { parameters } from "../../format";
import { SelectField, TextInput } from "../controls";
import { Section } from "../Page";
import { text } from "./text";

type ModelSectionProps = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  bases: BaseModel[];
  showsProblems: boolean;
};

/** Name, ID, description and base model. */
export function ModelSection({ draft, change, bases, showsProblems }: ModelSectionProps) {
  const [isIdShown, setIdShown] = useState(draft.id !== "");
  return (
    <Section id="model" number={2} title={text.create.model}>
      <TextInput
        label={text.common.name}
        value={draft.displayName}
        change={(displayName) => change({ displayName })}
        maxLength={NAME_CHARACTERS}
        isRequired
        isInvalid={showsProblems && draft.displayName.trim() === ""}
        validationBehavior="aria"
        help={
          <span className="row spread">
            <span>{text.create.nameHelp}</span>
            <span>
              {draft.displayName.length}/{NAME_CHARACTERS}
            </span>
          </span>
        }
        error={text.create.needName}
      />
      {isIdShown ? (
        <TextInput
          label={text.create.id}
          value={draft.id}
          change={(id) => change({ id })}
          maxLength={NAME_CHARACTERS}
          isInvalid={!isGoodId(draft.id)}
          validationBehavior="aria"
          spellCheck="false"
          help={text.create.idHelp}
          error={text.create.idWrong}
        />
      ) : (
        <div className="flush-left">
          <Button className="button quiet" onPress={() => setIdShown(true)}>
            {text.create.showId}
          </Button>
        </div>
      )}
      <TextInput
        label={text.create.description}
        value={draft.description}
        change={(description) => change({ description })}
      />
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
      groups={[
        [text.create.bases, bases.map(({ name, displayName }) => [name, displayName])],
        [text.create.ownModels, own.map(({ name, displayName }) => [name, displayName])],
      ]}
    />
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
