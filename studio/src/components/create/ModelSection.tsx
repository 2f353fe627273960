import { useState } from "react";
import { Button, FieldError, Input, Label, Text, TextField } from "react-aria-components";
import type { BaseModel } from "../../api/client";
import { isGoodId, NAME_CHARACTERS, type Draft } from "../../draft";
import { text } from "../../text/en";
import { BaseField } from "./BaseField";
import { Section } from "./Section";

type Props = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  bases: BaseModel[];
  isTold: boolean;
};

/** Name, description, and the base that is tuned. */
export function ModelSection({ draft, change, bases, isTold }: Props) {
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
        <Label>{text.create.name}</Label>
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
