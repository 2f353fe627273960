// The signed-in user, facts about the server, and who may do what with a tuned model.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, dataOf, idOf, type Schemas, send } from "./client";

export function useMe() {
  return useQuery({
    queryKey: ["me"],
    queryFn: async () => dataOf(await api.GET("/v1beta/accounts/me")),
    staleTime: 30_000,
    refetchOnWindowFocus: "always", // the user may have signed in with a link in another tab
  });
}

/** Whether a user is signed in; undefined until known. */
export function useIsSignedIn(): boolean | undefined {
  const me = useMe();
  return me.data ? Boolean(me.data.user) : undefined;
}

export function useSignIn() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: { user: string; password: string }) => send<{ user: string }>("POST", "/signin", body),
    onSuccess: () => client.invalidateQueries(),
  });
}

/** The key under which the browser stores the names of models whose success was shown. */
export const SEEN = "tunery-seen";

/** Sign out and forget the user's data in this browser, even if the server cannot be reached. */
export async function signOut() {
  try {
    await fetch("/signout", { method: "POST", credentials: "same-origin" });
  } finally {
    sessionStorage.clear();
    localStorage.removeItem(SEEN);
    location.assign("/studio/");
  }
}

export function useServerInfo() {
  const user = useMe().data?.user;
  return useQuery({
    queryKey: ["serverInfo", user],
    queryFn: async () => dataOf(await api.GET("/v1beta/serverInfo")),
    refetchInterval: 30_000,
    staleTime: 10_000,
  });
}

/** The server's limits, as far as known. */
export const useLimits = (): Partial<Schemas["LimitsOut"]> => useServerInfo().data?.limits ?? {};

export type Permission = Schemas["PermissionOut"];
export type GivenRole = "READER" | "WRITER";

export function usePermissions(id: string, isWanted = true) {
  return useQuery({
    queryKey: ["permissions", id],
    queryFn: async () => {
      const params = { path: { model_id: id }, query: { pageSize: 1000 } };
      return dataOf(await api.GET("/v1beta/tunedModels/{model_id}/permissions", { params })).permissions ?? [];
    },
    enabled: isWanted,
    staleTime: 30_000,
  });
}

export function useSharing(id: string) {
  const client = useQueryClient();
  const onSettled = () =>
    Promise.all(
      [["permissions", id], ["tunedModel", id], ["tunedModels"]].map((queryKey) =>
        client.invalidateQueries({ queryKey }),
      ),
    );
  const address = `/v1beta/tunedModels/${id}`;
  const of = (permission: Permission) => `${address}/permissions/${idOf(permission.name)}`;
  const grant = useMutation({
    mutationFn: (body: Schemas["PermissionIn"]) => send("POST", `${address}/permissions`, body),
    onSettled,
  });
  const change = useMutation({
    mutationFn: ({ permission, role }: { permission: Permission; role: GivenRole }) =>
      send("PATCH", `${of(permission)}?updateMask=role`, { role }),
    onSettled,
  });
  const revoke = useMutation({
    mutationFn: (permission: Permission) => send("DELETE", of(permission)),
    onSettled,
  });
  const shareExamples = useMutation({
    mutationFn: (examplesShared: boolean) => send("PATCH", `${address}?updateMask=examplesShared`, { examplesShared }),
    onSettled,
  });
  const transfer = useMutation({
    mutationFn: (emailAddress: string) => send("POST", `${address}:transferOwnership`, { emailAddress }),
    onSettled,
  });
  return { grant, change, revoke, shareExamples, transfer };
}
