// Tuned and base models as queries: fetched, kept fresh while something is running, changed.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, dataOf, type Operation, type Schemas, type TunedModel } from "./client";

const RUNNING_MS = 1000;

export const idOf = (name: string) => name.slice(name.lastIndexOf("/") + 1);
export const isRunning = (model: TunedModel | undefined) => model?.state === "CREATING";

export function useBaseModels() {
  return useQuery({
    queryKey: ["models"],
    queryFn: async () => dataOf(await api.GET("/v1beta/models")).models ?? [],
    staleTime: 60_000,
  });
}

export function useTunedModels(filter: string) {
  return useQuery({
    queryKey: ["tunedModels", filter],
    queryFn: async () => {
      const query = { pageSize: 50, ...(filter ? { filter } : {}) };
      return dataOf(await api.GET("/v1beta/tunedModels", { params: { query } })).tunedModels ?? [];
    },
    placeholderData: (previous) => previous,
    refetchInterval: (query) => (query.state.data?.some(isRunning) ? RUNNING_MS : false),
  });
}

export function useTunedModel(id: string) {
  return useQuery({
    queryKey: ["tunedModel", id],
    queryFn: async () =>
      dataOf(await api.GET("/v1beta/tunedModels/{model_id}", { params: { path: { model_id: id } } })),
    refetchInterval: (query) => (isRunning(query.state.data) ? RUNNING_MS : false),
  });
}

/** The operation that makes a model: phase, place in the queue, and the curve so far. */
export function useOperation(model: TunedModel | undefined) {
  const [, model_id = "", , operation_id = ""] = model?.operation.split("/") ?? [];
  return useQuery({
    queryKey: ["operation", model?.operation],
    queryFn: async () =>
      dataOf(
        await api.GET("/v1beta/tunedModels/{model_id}/operations/{operation_id}", {
          params: { path: { model_id, operation_id }, query: { extensions: true } },
        }),
      ),
    enabled: isRunning(model),
    refetchInterval: RUNNING_MS,
  });
}

export function useCreate() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (body: Schemas["TunedModelIn"]) =>
      dataOf(await api.POST("/v1beta/tunedModels", { body })) as Operation,
    onSuccess: () => client.invalidateQueries({ queryKey: ["tunedModels"] }),
  });
}

export function useCancel(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async () =>
      dataOf(await api.POST("/v1beta/tunedModels/{model_id}:cancel", { params: { path: { model_id: id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tunedModel", id] }),
  });
}

export function useDelete(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async () =>
      dataOf(await api.DELETE("/v1beta/tunedModels/{model_id}", { params: { path: { model_id: id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tunedModels"] }),
  });
}
