// Permissions of a tuned model: who has which role; given, changed, taken, and ownership handed on.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, dataOf, send, type Schemas } from "./client";
import { idOf } from "./models";

export type Permission = Schemas["PermissionOut"];
export type GivenRole = "READER" | "WRITER";

export function usePermissions(id: string, isWanted = true) {
  return useQuery({
    queryKey: ["permissions", id],
    queryFn: async () => {
      const params = { path: { model_id: id }, query: { pageSize: 1000 } };
      return (
        dataOf(await api.GET("/v1beta/tunedModels/{model_id}/permissions", { params })).permissions ?? []
      );
    },
    enabled: isWanted,
    staleTime: 30_000,
  });
}

/** The role of a user by name; groups are not looked into, the server decides in the end. */
export function roleOf(permissions: Permission[], user: string | undefined) {
  return permissions.find(({ emailAddress, granteeType }) => granteeType === "USER" && emailAddress === user)
    ?.role;
}

export function useSharing(id: string) {
  const client = useQueryClient();
  const onSettled = () => client.invalidateQueries({ queryKey: ["permissions", id] });
  const address = `/v1beta/tunedModels/${id}`;
  const of = (permission: Permission) => `${address}/permissions/${idOf(permission.name)}`;
  const give = useMutation({
    mutationFn: (body: Schemas["PermissionIn"]) => send("POST", `${address}/permissions`, body),
    onSettled,
  });
  const change = useMutation({
    mutationFn: ({ permission, role }: { permission: Permission; role: GivenRole }) =>
      send("PATCH", `${of(permission)}?updateMask=role`, { role }),
    onSettled,
  });
  const take = useMutation({
    mutationFn: (permission: Permission) => send("DELETE", of(permission)),
    onSettled,
  });
  const transfer = useMutation({
    mutationFn: (emailAddress: string) => send("POST", `${address}:transferOwnership`, { emailAddress }),
    onSettled,
  });
  return { give, change, take, transfer };
}
