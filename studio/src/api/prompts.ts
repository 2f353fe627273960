// Structured prompts: kept on the server for their owner, exported as files.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useIsSignedIn } from "./account";
import { api, dataOf, errorFrom, send, type Schemas } from "./client";

export type Prompt = Schemas["PromptOut"];
export type PromptChanges = Schemas["PromptIn"];

export function usePrompts(filter = "") {
  const isSignedIn = useIsSignedIn() === true;
  return useQuery({
    queryKey: ["prompts", filter],
    queryFn: async () => {
      const query = { pageSize: 1000, ...(filter && { filter }) };
      return dataOf(await api.GET("/v1beta/prompts", { params: { query } })).prompts ?? [];
    },
    enabled: isSignedIn,
    placeholderData: (previous) => previous,
  });
}

export const readPrompt = async (id: string) =>
  dataOf(await api.GET("/v1beta/prompts/{prompt_id}", { params: { path: { prompt_id: id } } }));

export function usePrompt(id: string) {
  const isSignedIn = useIsSignedIn() === true;
  return useQuery({
    queryKey: ["prompt", id],
    queryFn: () => readPrompt(id),
    enabled: isSignedIn && id !== "",
    staleTime: Infinity, // it is edited here; what others tabs do is seen when it is opened again
    gcTime: 0,
  });
}

export const createPrompt = (body: PromptChanges) => send<Prompt>("POST", "/v1beta/prompts", body);
export const updatePrompt = (id: string, body: PromptChanges) =>
  send<Prompt>("PATCH", `/v1beta/prompts/${id}`, body);
export const deletePrompt = (id: string) => send("DELETE", `/v1beta/prompts/${id}`);

export function useDeletePrompt() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: deletePrompt,
    onSettled: () => client.invalidateQueries({ queryKey: ["prompts"] }),
  });
}

export function useImportPrompt() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (file: File) => {
      const name = encodeURIComponent(file.name.replace(/\.json$/i, "").slice(0, 40));
      return send<Prompt>("POST", `/v1beta/prompts:import?displayName=${name}`, await file.text());
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["prompts"] }),
  });
}

/** The text of an export. */
export async function exportPrompt(id: string, format: string): Promise<string> {
  const reply = await fetch(`/v1beta/prompts/${id}:export?format=${format}`, { credentials: "same-origin" });
  if (!reply.ok) throw errorFrom(await reply.json().catch(() => undefined), reply.status);
  return reply.text();
}
