import { useState } from "react";
import {
  Button,
  Dialog,
  DialogTrigger,
  Heading,
  Input,
  Label,
  Modal,
  ModalOverlay,
  TextField,
} from "react-aria-components";
import { usePermissions, useSharing, type Permission } from "../api/sharing";
import { text } from "../text/en";
import { ErrorNote } from "./ErrorNote";

/** People with their roles; add one, take one away, or let everyone on this server use the model. */
export function ShareDialog({ id, name }: { id: string; name: string }) {
  return (
    <DialogTrigger>
      <Button>{text.sharing.share}</Button>
      <ModalOverlay isDismissable>
        <Modal>
          <Dialog>
            {({ close }) => (
              <div className="stack">
                <Heading slot="title" level={2}>
                  {text.sharing.title(name)}
                </Heading>
                <p className="soft">{text.sharing.help}</p>
                <People id={id} />
                <div className="row" style={{ justifyContent: "flex-end" }}>
                  <Button onPress={close}>{text.sharing.done}</Button>
                </div>
              </div>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}

function People({ id }: { id: string }) {
  const known = usePermissions(id).data ?? [];
  const { give, take } = useSharing(id);
  const everyone = known.find(({ granteeType }) => granteeType === "EVERYONE");
  const error = give.error ?? take.error;
  return (
    <>
      {error && <ErrorNote error={error} />}
      <ul className="people">
        {known.map((permission) => (
          <Person key={permission.name} permission={permission} take={() => take.mutate(permission)} />
        ))}
      </ul>
      <AddPerson add={(emailAddress, role) => give.mutate({ granteeType: "USER", emailAddress, role })} />
      <label className="row">
        <input
          type="checkbox"
          checked={everyone !== undefined}
          onChange={() =>
            everyone ? take.mutate(everyone) : give.mutate({ granteeType: "EVERYONE", role: "READER" })
          }
        />
        {text.sharing.everyone}
      </label>
    </>
  );
}

function Person({ permission, take }: { permission: Permission; take: () => void }) {
  const who = permission.emailAddress ?? text.sharing.all;
  return (
    <li className="row spread">
      <span>
        {who} <span className="badge">{permission.role.toLowerCase()}</span>
      </span>
      {permission.role !== "OWNER" && (
        <Button className="button quiet" aria-label={`${text.sharing.remove} ${who}`} onPress={take}>
          {text.sharing.remove}
        </Button>
      )}
    </li>
  );
}

function AddPerson({ add }: { add: (address: string, role: "READER" | "WRITER") => void }) {
  const [address, setAddress] = useState("");
  const [role, setRole] = useState<"READER" | "WRITER">("READER");
  return (
    <form
      className="row"
      onSubmit={(event) => {
        event.preventDefault();
        add(address, role);
        setAddress("");
      }}
    >
      <TextField value={address} onChange={setAddress} type="email" isRequired style={{ flex: "1 1 180px" }}>
        <Label>{text.sharing.address}</Label>
        <Input />
      </TextField>
      <label className="field">
        {text.sharing.role}
        <select
          className="select"
          value={role}
          onChange={(event) => setRole(event.target.value === "WRITER" ? "WRITER" : "READER")}
        >
          <option value="READER">{text.sharing.reader}</option>
          <option value="WRITER">{text.sharing.writer}</option>
        </select>
      </label>
      <Button type="submit" style={{ alignSelf: "end" }} isDisabled={address === ""}>
        {text.sharing.add}
      </Button>
    </form>
  );
}
