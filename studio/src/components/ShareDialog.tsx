import { useState } from "react";
import { Button } from "react-aria-components";
import { type GivenRole, type Permission, usePermissions, useSharing } from "../api/account";
import { canEdit, idOf, type TunedModel } from "../api/client";
import { CopyButton } from "./Code";
import { Checkbox, type Option, SelectField, TextInput } from "./controls";
import { Confirm, Window } from "./dialogs";
import { ErrorNote, Skeleton } from "./Page";
import { text } from "./text";

/** Who has which role: add people, change or remove roles, share with everyone, transfer ownership. */
export function ShareDialog({ model, onClose }: { model: TunedModel; onClose: () => void }) {
  const id = idOf(model.name);
  const query = usePermissions(id);
  const { grant, change, revoke, shareExamples, transfer } = useSharing(id);
  const [newOwner, setNewOwner] = useState<Permission>();
  const known = query.data ?? [];
  const everyone = known.find(({ granteeType }) => granteeType === "EVERYONE");
  const canWrite = canEdit(model);
  const error = query.error ?? grant.error ?? change.error ?? revoke.error ?? shareExamples.error ?? transfer.error;
  return (
    <Window title={text.sharing.title(model.displayName)} isOpen onClose={onClose}>
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
              isOwner={model.role === "OWNER"}
              change={(next) => change.mutate({ permission, role: next })}
              revoke={() => revoke.mutate(permission)}
              transfer={() => setNewOwner(permission)}
            />
          ))}
      </ul>
      {canWrite && (
        <>
          <AddPerson add={(emailAddress, next) => grant.mutate({ granteeType: "USER", emailAddress, role: next })} />
          <Checkbox
            label={text.sharing.everyone}
            isChecked={everyone !== undefined}
            change={() =>
              everyone ? revoke.mutate(everyone) : grant.mutate({ granteeType: "EVERYONE", role: "READER" })
            }
          />
        </>
      )}
      {model.role === "OWNER" && (
        <Checkbox
          label={text.sharing.examples}
          isChecked={shareExamples.isPending ? shareExamples.variables : (model.examplesShared ?? false)}
          change={shareExamples.mutate}
        />
      )}
      <div className="row spread">
        <CopyButton content={`${location.origin}/studio/models/${id}`} label={text.sharing.link} />
      </div>
      <Confirm
        isOpen={newOwner !== undefined}
        onClose={() => setNewOwner(undefined)}
        title={text.sharing.transferTitle(newOwner?.emailAddress ?? "")}
        body={text.sharing.transferText}
        keep={text.common.cancel}
        act={text.sharing.transfer}
        onAct={() => newOwner?.emailAddress && transfer.mutate(newOwner.emailAddress)}
      />
    </Window>
  );
}

type Props = {
  permission: Permission;
  canWrite: boolean;
  isOwner: boolean;
  change: (role: GivenRole) => void;
  revoke: () => void;
  transfer: () => void;
};

const GIVEN: Option[] = [
  ["READER", text.sharing.roles.READER],
  ["WRITER", text.sharing.roles.WRITER],
];

/** A person and their role, which can be changed, removed, or turned into ownership. */
function Person({ permission, canWrite, isOwner, change, revoke, transfer }: Props) {
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
          options={GIVEN}
        />
        {isOwner && permission.granteeType === "USER" && (
          <Button className="button quiet" aria-label={text.sharing.transferTitle(who)} onPress={transfer}>
            {text.sharing.transfer}
          </Button>
        )}
        <Button className="button quiet" aria-label={`${text.sharing.remove} ${who}`} onPress={revoke}>
          {text.sharing.remove}
        </Button>
      </span>
    </li>
  );
}

/** Adds a person by address and role. */
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
      <TextInput
        label={text.sharing.address}
        value={address}
        change={setAddress}
        type="email"
        isRequired
        className="react-aria-TextField grow"
      />
      <SelectField
        label={text.sharing.role}
        value={role}
        change={(next) => setRole(next as GivenRole)}
        options={GIVEN}
      />
      <Button type="submit" isDisabled={address === ""}>
        {text.sharing.add}
      </Button>
    </form>
  );
}
