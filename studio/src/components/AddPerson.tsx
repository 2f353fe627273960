import { useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";
import type { GivenRole } from "../api/sharing";
import { text } from "../text/en";
import { SelectField } from "./SelectField";

/** An address and a role for somebody new. */
export function AddPerson({ add }: { add: (address: string, role: GivenRole) => void }) {
  const [address, setAddress] = useState("");
  const [role, setRole] = useState<GivenRole>("READER");
  return (
    <form
      className="row bottom"
      onSubmit={(event) => {
        event.preventDefault();
        add(address.trim(), role);
        setAddress("");
      }}
    >
      <TextField
        value={address}
        onChange={setAddress}
        type="email"
        isRequired
        className="react-aria-TextField grow"
      >
        <Label>{text.sharing.address}</Label>
        <Input />
      </TextField>
      <SelectField label={text.sharing.role} value={role} change={(next) => setRole(next as GivenRole)}>
        <option value="READER">{text.sharing.roles.READER}</option>
        <option value="WRITER">{text.sharing.roles.WRITER}</option>
      </SelectField>
      <Button type="submit" isDisabled={address === ""}>
        {text.sharing.add}
      </Button>
    </form>
  );
}
