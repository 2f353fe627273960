import { Button } from "react-aria-components";
import type { GivenRole, Permission } from "../api/sharing";
import { text } from "../text/en";
import { SelectField } from "./SelectField";

type Props = {
  permission: Permission;
  canWrite: boolean;
  isOwner: boolean;
  change: (role: GivenRole) => void;
  take: () => void;
  transfer: () => void;
};

/** Somebody with a role: it can be changed, taken, or made the owner's. */
export function Person({ permission, canWrite, isOwner, change, take, transfer }: Props) {
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
