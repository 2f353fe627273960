import { useState } from "react";
import { Button } from "react-aria-components";
import { type GivenRole, type Permission, useMe, usePermissions, useServerInfo, useSharing } from "../api/account";
import { canEdit, idOf, type TunedModel } from "../api/client";
import { CopyButton } from "./Code";
import { Checkbox, type Option, SelectField, TextInput } from "./controls";
import { Confirm, Window } from "./dialogs";
import { ErrorNote, Skeleton } from "./Page";
import { text } from "./text";

/** People and their roles: add people, change or remove roles, share with everyone, transfer ownership. */
export function ShareDialog({ model, onClose }: { model: TunedModel; onClose: () => void }) {
  const id = idOf(model.name);
  const query = usePermissions(id);
  const { grant, change, revoke, shareExamples, transfer } = useSharing(id);
  const [newOwner, setNewOwner] = useState<Permission>();
  const known = query.data ?? [];
  const me = useMe().data?.user;
  const people = known.filter(({ granteeType, role }) => granteeType === "USER" && role !== "OWNER");
  const everyone = known.find(({ granteeType }) => granteeType === "EVERYONE");
  const canWrite = canEdit(model);
  const link = `${useServerInfo().data?.address ?? location.origin}/studio/models/${id}`;
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
              me={me}
              canWrite={canWrite}
              change={(next) => change.mutate({ permission, role: next })}
              revoke={() => revoke.mutate(permission)}
            />
          ))}
      </ul>
      {canWrite && (
        <>
          <AddPerson add={(emailAddress, next) => grant.mutate({ granteeType: "USER", emailAddress, role: next })} />
          {grant.isSuccess && grant.variables.emailAddress && (
            <p className="note small" role="status">
              {text.sharing.added(grant.variables.emailAddress)}
            </p>
          )}
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
      <div className="row">
        <CopyButton content={link} label={text.sharing.link} />
        {isLocal(link) && <span className="help grow">{text.sharing.localLink}</span>}
      </div>
      {model.role === "OWNER" && people.length > 0 && <Transfer people={people} choose={setNewOwner} />}
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
  me?: string;
  canWrite: boolean;
  change: (role: GivenRole) => void;
  revoke: () => void;
};

const GIVEN: Option[] = [
  ["READER", text.sharing.roles.READER],
  ["WRITER", text.sharing.roles.WRITER],
];

/** Whether a link only works on the user's own machine. */
const isLocal = (address: string) => /^\w+:\/\/(localhost|127\.|\[::1\])/.test(address);

/** A person and their role, which can be changed or removed. */
function Person({ permission, me, canWrite, change, revoke }: Props) {
  const who = text.signIn.person(permission.emailAddress ?? "", me);
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
        <Button className="button quiet" aria-label={`${text.sharing.remove} ${who}`} onPress={revoke}>
          {text.sharing.remove}
        </Button>
      </span>
    </li>
  );
}

/** Transfers the model to one of its people; separate from everyday changes. */
function Transfer({ people, choose }: { people: Permission[]; choose: (person: Permission) => void }) {
  const [chosen, setChosen] = useState(people[0]?.name ?? "");
  const person = people.find(({ name }) => name === chosen) ?? people[0];
  return (
    <details>
      <summary>{text.sharing.ownership}</summary>
      <div className="row bottom gap-top">
        <SelectField
          label={text.sharing.newOwner}
          value={person?.name ?? ""}
          change={setChosen}
          options={people.map(({ name, emailAddress }): Option => [name, text.signIn.person(emailAddress ?? "")])}
        />
        <Button className="button danger" onPress={() => person && choose(person)}>
          {text.sharing.transfer}
        </Button>
      </div>
    </details>
  );
}

const ADDRESS = /^[^\s@]+@[^\s@]+$/;

/** Adds a person by address and role. */
function AddPerson({ add }: { add: (address: string, role: GivenRole) => void }) {
  const [address, setAddress] = useState("");
  const [role, setRole] = useState<GivenRole>("READER");
  const [isWrong, setWrong] = useState(false);
  return (
    <form
      className="row bottom"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const isAddress = ADDRESS.test(address.trim());
        setWrong(!isAddress);
        if (!isAddress) return;
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
        validationBehavior="aria"
        isInvalid={isWrong && !ADDRESS.test(address.trim())}
        error={text.sharing.wrongAddress}
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
