// Who is signed in, signing in and out.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, dataOf, send } from "./client";

export function useMe() {
  return useQuery({
    queryKey: ["me"],
    queryFn: async () => dataOf(await api.GET("/v1beta/accounts/me")),
    staleTime: 30_000,
    refetchOnWindowFocus: "always", // somebody may have signed in with a link in another tab
  });
}

/** Whether somebody is signed in; undefined until it is known. */
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

export async function signOut() {
  await fetch("/signout", { method: "POST", credentials: "same-origin" });
  sessionStorage.clear();
  location.assign("/studio/");
}
