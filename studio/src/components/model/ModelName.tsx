import { useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";
import type { TunedModel } from "../../api/client";
import { idOf, useRename } from "../../api/models";
import { useRole } from "../../hooks/useRole";
import { NAME_CHARACTERS } from "../../draft";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";

/** Id and description under the heading, and the way to another name. */
export function ModelName({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const [name, setName] = useState<string>(); // undefined: it is not being changed
  const rename = useRename(id);
  const role = useRole(id);
  const canWrite = role === "OWNER" || role === "WRITER";
  if (name === undefined) {
    return (
      <div className="row small-gap under-head">
        <span className="soft mono">{id}</span>
        {canWrite && (
          <Button className="button quiet tiny" onPress={() => setName(model.displayName)}>
            {text.model.rename}
          </Button>
        )}
        {model.description && <span className="soft">{model.description}</span>}
      </div>
    );
  }
  return (
    <form
      className="stack tight"
      onSubmit={(event) => {
        event.preventDefault();
        rename.mutate(name.trim(), { onSuccess: () => setName(undefined) });
      }}
    >
      {rename.isError && <ErrorNote error={rename.error} />}
      <div className="row bottom">
        <TextField
          value={name}
          onChange={setName}
          maxLength={NAME_CHARACTERS}
          isRequired
          // a press on Rename leads here, and typing is what comes next
          // eslint-disable-next-line jsx-a11y/no-autofocus
          autoFocus
          className="react-aria-TextField grow"
        >
          <Label>{text.create.name}</Label>
          <Input />
        </TextField>
        <Button type="submit" className="button primary" isDisabled={name.trim() === ""}>
          {text.model.saveName}
        </Button>
        <Button onPress={() => setName(undefined)}>{text.common.cancel}</Button>
      </div>
    </form>
  );
}
