import { FieldError, Input, Label, Text, TextField } from "react-aria-components";
import type { BaseModel } from "../api/client";
import type { Draft } from "../draft";
import { text } from "../text/en";

const MAX_CHARACTERS = 40;

type Props = { draft: Draft; change: (part: Partial<Draft>) => void; bases: BaseModel[] };

/** Name, description, and the base that is tuned. */
export function NameSection({ draft, change, bases }: Props) {
  const base = bases.find(({ name }) => name === draft.baseModel);
  const tunable = bases.filter(({ supportedGenerationMethods }) =>
    supportedGenerationMethods.some((method) => method.startsWith("createTuned")),
  );
  return (
    <section className="card stack" aria-labelledby="model">
      <h2 id="model">{text.create.model}</h2>
      <TextField
        value={draft.displayName}
        onChange={(displayName) => change({ displayName })}
        maxLength={MAX_CHARACTERS}
        isRequired
      >
        <Label>{text.create.name}</Label>
        <Input />
        <Text slot="description" className="help">
          {text.create.nameHelp} {draft.displayName.length}/{MAX_CHARACTERS}
        </Text>
        <FieldError className="wrong" />
      </TextField>
      <TextField value={draft.description} onChange={(description) => change({ description })}>
        <Label>{text.create.description}</Label>
        <Input />
      </TextField>
      <label className="field">
        {text.create.base}
        <select
          className="select"
          value={draft.baseModel}
          onChange={(event) => change({ baseModel: event.target.value })}
        >
          {tunable.map(({ name, displayName }) => (
            <option key={name} value={name}>
              {displayName}
            </option>
          ))}
        </select>
        <span className="help" style={{ fontWeight: 400 }}>
          {base?.description}
        </span>
      </label>
    </section>
  );
}
