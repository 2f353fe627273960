import { useState } from "react";
import { useMe } from "../api/account";
import { roleOf, usePermissions, useSharing, type Permission } from "../api/sharing";
import { text } from "../text/en";
import { AddPerson } from "./AddPerson";
import { Confirm } from "./Confirm";
import { CopyButton } from "./CopyButton";
import { ErrorNote } from "./ErrorNote";
import { Person } from "./Person";
import { Skeleton } from "./Skeleton";
import { Window } from "./Window";

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
          <AddPerson
            add={(emailAddress, next) => give.mutate({ granteeType: "USER", emailAddress, role: next })}
          />
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
        keep={text.sharing.keepOwner}
        act={text.sharing.transfer}
        onAct={() => heir?.emailAddress && transfer.mutate(heir.emailAddress)}
      />
    </Window>
  );
}
