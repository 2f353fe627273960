// Tuned and base models, and the operations that create tuned models; polled while something is running.

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { useIsSignedIn } from "./account";
import { api, dataOf, errorFrom, idOf, type Operation, type Schemas, send, type TunedModel } from "./client";

const PAGE = 50;
const LIST_MS = 5000; // while a job runs; its operation gives the progress every second while the page is visible

export const isRunning = (model: TunedModel | undefined) => model?.state === "CREATING";

export function useBaseModels() {
  const isSignedIn = useIsSignedIn() === true;
  return useQuery({
    queryKey: ["models"],
    queryFn: async () => dataOf(await api.GET("/v1beta/models")).models ?? [],
    enabled: isSignedIn,
    staleTime: 60_000,
  });
}

/** The display names of open weights, by their names. */
export function useBaseNames(): ReadonlyMap<string, string> {
  const bases = useBaseModels().data;
  return useMemo(() => {
    const known = (bases ?? []).filter(({ name, baseWeights }) => name === `models/${baseWeights}`);
    return new Map(known.map(({ baseWeights, displayName }) => [baseWeights, displayName]));
  }, [bases]);
}

/** Pages of tuned models that match a filter, newest first. */
export function useTunedModels(filter: string) {
  const isSignedIn = useIsSignedIn() === true;
  return useInfiniteQuery({
    queryKey: ["tunedModels", filter],
    queryFn: async ({ pageParam }) => {
      const query = { pageSize: PAGE, ...(filter && { filter }), ...(pageParam && { pageToken: pageParam }) };
      return dataOf(await api.GET("/v1beta/tunedModels", { params: { query } }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken,
    select: ({ pages }) => pages.flatMap((page) => page.tunedModels ?? []),
    placeholderData: (previous) => previous,
    enabled: isSignedIn,
    refetchInterval: ({ state }) =>
      state.data?.pages.some((page) => page.tunedModels?.some(isRunning)) ? LIST_MS : false,
    refetchIntervalInBackground: true, // for notifications
  });
}

export const tunedModelQuery = (id: string) => ({
  queryKey: ["tunedModel", id],
  queryFn: async () => dataOf(await api.GET("/v1beta/tunedModels/{model_id}", { params: { path: { model_id: id } } })),
});

export function useTunedModel(id: string) {
  const isSignedIn = useIsSignedIn() === true;
  return useQuery({
    ...tunedModelQuery(id),
    enabled: isSignedIn && id !== "",
    refetchInterval: ({ state }) => (isRunning(state.data) ? LIST_MS : false),
  });
}

const madeHere = new Map<string, string>(); // names of models created in this tab, by ID

/** The name of a model that may not be loaded yet. */
export const titleOf = (id: string) => madeHere.get(id) ?? id;

export function useCreate() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ body, id }: { body: Schemas["TunedModelIn"]; id: string }) =>
      send<Operation>("POST", `/v1beta/tunedModels${id ? `?tunedModelId=${encodeURIComponent(id)}` : ""}`, body),
    onSuccess: (operation, { body }) => {
      madeHere.set(idOf(operation.metadata.tunedModel), body.displayName ?? "");
      return client.invalidateQueries({ queryKey: ["tunedModels"] });
    },
  });
}

export function useRename(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (displayName: string) =>
      send<TunedModel>("PATCH", `/v1beta/tunedModels/${id}?updateMask=displayName`, { displayName }),
    onSuccess: (model) => {
      client.setQueryData(["tunedModel", id], model);
      return client.invalidateQueries({ queryKey: ["tunedModels"] });
    },
  });
}

/** Choose the kept epoch that answers. */
export function useServedEpoch(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (servedEpoch: number) =>
      send<TunedModel>("PATCH", `/v1beta/tunedModels/${id}?updateMask=servedEpoch`, { servedEpoch }),
    onSuccess: (model) => {
      client.setQueryData(["tunedModel", id], model);
      return client.invalidateQueries({ queryKey: ["card", id] });
    },
  });
}

/** Turn the wrapping of plain inputs on or off. */
export function useWrapping(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wrapPlainInputs: boolean) =>
      send<TunedModel>("PATCH", `/v1beta/tunedModels/${id}?updateMask=wrapPlainInputs`, { wrapPlainInputs }),
    onSuccess: (model) => client.setQueryData(["tunedModel", id], model),
  });
}

export function useCancel(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => send("POST", `/v1beta/tunedModels/${id}:cancel`),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tunedModel", id] }),
  });
}

/** Cancel the tuning jobs of these models, one after the other. */
export function useCancelAll() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (ids: string[]) => {
      for (const id of ids) await send("POST", `/v1beta/tunedModels/${id}:cancel`);
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["tunedModels"] }),
  });
}

/** Put a waiting job before the user's others. */
export function useStartNext() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => send("POST", `/v1beta/tunedModels/${id}:startNext`),
    onSettled: () => client.invalidateQueries({ queryKey: ["operation"] }),
  });
}

/** Delete tuned models, one after the other. */
export function useDelete() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (ids: string[]) => {
      for (const id of ids) await send("DELETE", `/v1beta/tunedModels/${id}`);
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["tunedModels"] }),
  });
}

/** The last log lines of a model's tuning job. */
export function useLog(id: string, isWanted: boolean, isLive: boolean) {
  return useQuery({
    queryKey: ["log", id],
    queryFn: async () =>
      dataOf(await api.GET("/v1beta/tunedModels/{model_id}:log", { params: { path: { model_id: id } } })).lines,
    enabled: isWanted,
    refetchInterval: isLive ? LIST_MS : false,
  });
}

const OPERATION_MS = 1000;
const QUEUED_MS = 5000;

const seen = new Map<string, { tag: string; operation: Operation }>(); // for replies with status 304

/** The operation that creates a model: phase, place in the queue, curve so far. Polled with an ETag. */
export function useOperation(model: TunedModel | undefined) {
  const client = useQueryClient();
  const name = model?.operation ?? "";
  const query = useQuery({
    queryKey: ["operation", name],
    queryFn: () => read(name),
    enabled: isRunning(model),
    refetchInterval: ({ state }) => {
      if (state.data?.done) return false;
      return document.hidden || state.data?.metadata.phase === "QUEUED" ? QUEUED_MS : OPERATION_MS;
    },
    refetchIntervalInBackground: true, // the title of the tab says how far it is
  });
  const isDone = query.data?.done === true && isRunning(model);
  const id = idOf(model?.name ?? "");
  useEffect(() => {
    if (!isDone) return;
    void client.invalidateQueries({ queryKey: ["tunedModel", id] });
    void client.invalidateQueries({ queryKey: ["tunedModels"] });
  }, [client, id, isDone]);
  return query;
}

async function read(name: string): Promise<Operation> {
  const known = seen.get(name);
  const reply = await fetch(`/v1beta/${name}?extensions=true`, {
    credentials: "same-origin",
    cache: "no-store",
    headers: known ? { "If-None-Match": known.tag } : {},
  });
  if (reply.status === 304 && known) return known.operation;
  const body: unknown = await reply.json();
  if (!reply.ok) throw errorFrom(body, reply.status);
  const operation = body as Operation;
  const tag = reply.headers.get("ETag");
  if (tag) seen.set(name, { tag, operation });
  return operation;
}
