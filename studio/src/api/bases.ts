// Base models: which there are, downloads, removal, and the hub.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useIsSignedIn } from "./account";
import { api, dataOf, type Schemas, send } from "./client";

export type Base = Schemas["BaseOut"];
export type HubModel = Schemas["HubModelOut"];

const POLL_MS = 1000;
const PATH = "/v1beta/bases";

export const isComing = ({ download }: Base) => download?.state === "RUNNING";

/** All bases; polled while one is coming. */
export function useBases() {
  const isSignedIn = useIsSignedIn() === true;
  return useQuery({
    queryKey: ["bases"],
    queryFn: async () => dataOf(await api.GET("/v1beta/bases")).bases,
    enabled: isSignedIn,
    refetchInterval: ({ state }) => state.data?.some(isComing) && POLL_MS,
  });
}

/** What administrators do with bases. */
export function useBaseActions() {
  const client = useQueryClient();
  const onSettled = () =>
    Promise.all([["bases"], ["models"]].map((queryKey) => client.invalidateQueries({ queryKey })));
  const fetchBase = (name: string) => send<Base>("POST", `${PATH}/${name}:fetch`);
  return {
    fetch: useMutation({ mutationFn: fetchBase, onSettled }),
    stop: useMutation({ mutationFn: (name: string) => send<Base>("POST", `${PATH}/${name}:stop`), onSettled }),
    remove: useMutation({
      mutationFn: (name: string) => send<{ bytes: number }>("DELETE", `${PATH}/${name}?force=true`),
      onSettled,
    }),
    add: useMutation({
      mutationFn: async (source: string) => fetchBase((await send<Base>("POST", PATH, { source })).name),
      onSettled,
    }),
  };
}

/** Models of the hub with these words in their names. */
export function useHubSearch() {
  return useMutation({
    mutationFn: async (query: string) => {
      const parameters = new URLSearchParams({ query });
      return (await send<Schemas["HubModelsOut"]>("GET", `${PATH}:search?${parameters}`)).models;
    },
  });
}
