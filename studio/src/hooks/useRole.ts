import { useMe } from "../api/account";
import { roleOf, usePermissions } from "../api/sharing";

/** What the user may do with a tuned model; undefined while it is not known. */
export function useRole(id: string) {
  return roleOf(usePermissions(id).data ?? [], useMe().data?.user);
}
