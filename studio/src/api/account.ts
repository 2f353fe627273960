// Who is signed in, and signing out.

import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "./client";

export function useMe() {
  return useQuery({
    queryKey: ["me"],
    queryFn: async () => dataOf(await api.GET("/v1beta/accounts/me")),
    staleTime: 60_000,
  });
}

export async function signOut() {
  await fetch("/signout", { method: "POST", credentials: "same-origin" });
  location.assign("/studio/");
}

/** Where to sign in, and come back from to the page that is shown now. */
export const signInAddress = () => `/signin?next=${encodeURIComponent(location.pathname + location.search)}`;
