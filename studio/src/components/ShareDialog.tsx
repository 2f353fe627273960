import { useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";
import { type GivenRole, type Permission, roleOf, useMe, usePermissions, useSharing } from "../api/account";
import { CopyButton } from "./Code";
import { SelectField } from "./controls";
import { Confirm, Window } from "./dialogs";
import { ErrorNote, Skeleton } from "./Page";
import { text } from "./text";

/** People with their roles; add one, change or take a role, let everyone use the model, hand it on. */
export function ShareDialog({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  const query = usePermissions(id);
  const me = useMe().data?.user;
  const { give, change, take, transfer } = useSharing(id);
  const [heir, setHeir] = useState<Permission>();
  const known = query.data ?? [];
  const everyone = known.find(({ granteeType }) => granteeType === "EVERYONE");
  const role = roleOf(known, me);
  const canWrite = role === "OWNER" || role === "WRITER";
  const error = query.error ?? give.error ?? change.error ?? take.error ?? transfer.error;
  return (
    <Window title={text.sharing.title(name)} isOpen onClose={onClose}>
      <p className="soft">{canWrite || query.isPending ? text.sharing.help : text.sharing.readOnly}</p>
      {error && <ErrorNote error={error} />}
      {query.isPending && <Skeleton rows={2} />}
      <ul className="people">
        {known
          .filter((permission) => permission !== everyone)
          .map((permission) => (
            <Person
              key={permission.name}
              permission={permission}
              canWrite={canWrite}
              isOwner={role === "OWNER"}
              change={(next) => change.mutate({ permission, role: next })}
              take={() => take.mutate(permission)}
              transfer={() => setHeir(permission)}
            />
          ))}
      </ul>
      {canWrite && (
        <>
          <AddPerson add={(emailAddress, next) => give.mutate({ granteeType: "USER", emailAddress, role: next })} />
          <label className="row plain">
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
      )}
      <div className="row spread">
        <CopyButton content={`${location.origin}/studio/models/${id}`} label={text.sharing.link} />
      </div>
      <Confirm
        isOpen={heir !== undefined}
        onClose={() => setHeir(undefined)}
        title={text.sharing.transferTitle(heir?.emailAddress ?? "")}
        body={text.sharing.transferText}
        keep={text.common.cancel}
        act={text.sharing.transfer}
        onAct={() => heir?.emailAddress && transfer.mutate(heir.emailAddress)}
      />
    </Window>
  );
}

type Props = {
  permission: Permission;
  canWrite: boolean;
  isOwner: boolean;
  change: (role: GivenRole) => void;
  take: () => void;
  transfer: () => void;
};

/** Somebody with a role: it can be changed, taken, or made the owner's. */
function Person({ permission, canWrite, isOwner, change, take, transfer }: Props) {
  const who = text.signIn.you(permission.emailAddress ?? "");
  if (permission.role === "OWNER" || !canWrite) {
    return (
      <li className="row spread">
        <span>{who}</span>
        <span className="badge">{text.sharing.roles[permission.role]}</span>
      </li>
    );
  }
  return (
    <li className="row spread">
      <span>{who}</span>
      <span className="row small-gap">
        <SelectField
          label={text.sharing.roleOf(who)}
          isLabelHidden
          isSmall
          value={permission.role}
          change={(role) => change(role as GivenRole)}
        >
          <option value="READER">{text.sharing.roles.READER}</option>
          <option value="WRITER">{text.sharing.roles.WRITER}</option>
        </SelectField>
        {isOwner && permission.granteeType === "USER" && (
          <Button className="button quiet" aria-label={text.sharing.transferTitle(who)} onPress={transfer}>
            {text.sharing.transfer}
          </Button>
        )}
        <Button className="button quiet" aria-label={`${text.sharing.remove} ${who}`} onPress={take}>
          {text.sharing.remove}
        </Button>
      </span>
    </li>
  );
}

/** An address and a role for somebody new. */
function AddPerson({ add }: { add: (address: string, role: GivenRole) => void }) {
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
      <TextField value={address} onChange={setAddress} type="email" isRequired className="react-aria-TextField grow">
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
