import { useState } from "react";
import { Button } from "react-aria-components";
import { useLimits } from "../../api/account";
import { type BaseModel, isAlias } from "../../api/client";
import { useTunedModels } from "../../api/models";
import { type Draft, isGoodId } from "../../draft";
import { parameters } from "../../format";
import { SearchableSelect, TextInput } from "../controls";
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
  const limits = useLimits();
  const [isIdShown, setIdShown] = useState(draft.id !== "");
  return (
    <Section id="model" number={2} title={text.create.model}>
      <TextInput
        label={text.common.name}
        value={draft.displayName}
        change={(displayName) => change({ displayName })}
        maxLength={limits.displayNameCharacters}
        isRequired
        isInvalid={showsProblems && draft.displayName.trim() === ""}
        validationBehavior="aria"
        help={
          limits.displayNameCharacters && (
            <span className="row spread">
              <span>{text.create.nameHelp(limits.displayNameCharacters)}</span>
              <span>
                {draft.displayName.length}/{limits.displayNameCharacters}
              </span>
            </span>
          )
        }
        error={text.create.needName}
      />
      {isIdShown ? (
        <TextInput
          label={text.create.id}
          value={draft.id}
          change={(id) => change({ id })}
          maxLength={limits.displayNameCharacters}
          isInvalid={!isGoodId(draft.id, limits.idPattern)}
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

/** The base model, or one of the user's tuned models to continue from, with size, license, and whether it fits. */
function BaseField({ draft, change, bases }: BaseFieldProps) {
  const own = (useTunedModels("owner:me").data ?? []).filter(({ state }) => state === "ACTIVE");
  const base = bases.find(({ name }) => name === draft.baseModel);
  return (
    <SearchableSelect
      label={text.create.base}
      value={draft.baseModel}
      change={(baseModel) => change({ baseModel })}
      help={base && <BaseHelp base={base} />}
      groups={[
        [text.create.bases, bases.filter((one) => !isAlias(one)).map(({ name, displayName }) => [name, displayName])],
        [text.create.ownModels, own.map(({ name, displayName }) => [name, displayName])],
        [text.create.aliases, bases.filter(isAlias).map(({ name, displayName }) => [name, displayName])],
      ]}
    />
  );
}

function BaseHelp({ base }: { base: BaseModel }) {
  const { baseWeights, licence, fits, isPresent, description } = base;
  return (
    <>
      {description} {isAlias(base) && `${text.create.weights(baseWeights)}. `}
      {text.create.baseFacts(parameters(base.parameters), licence)}
      {" · "}
      {!isPresent && text.create.absent}
      {isPresent && fits !== undefined && (fits ? text.create.fits : text.create.tooLarge)}
    </>
  );
}
