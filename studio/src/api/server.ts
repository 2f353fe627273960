// What the server says of itself: version, device, limits, what it offers and what it is busy with.

import { useQuery } from "@tanstack/react-query";
import { useMe } from "./account";
import { api, dataOf } from "./client";

export function useServerInfo() {
  const user = useMe().data?.user;
  return useQuery({
    queryKey: ["serverInfo", user],
    queryFn: async () => dataOf(await api.GET("/v1beta/serverInfo")),
    refetchInterval: 30_000,
    staleTime: 10_000,
  });
}

/** Whether the server offers something that goes beyond Gemini's contract. */
export function useOffers(feature: string): boolean {
  return useServerInfo().data?.features.includes(feature) ?? false;
}
