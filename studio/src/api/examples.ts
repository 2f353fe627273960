// Where examples come from: tuned models, files (read by the server, not stored there), structured prompts.

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useIsSignedIn } from "./account";
import { api, ApiError, dataOf, errorFrom, type Schemas, send, useDebounced } from "./client";

export type StoredExample = Schemas["StoredExampleOut"];

const EXAMPLES_PAGE = 1000;
const RENDERED_EXAMPLES = 5;

/** All training examples or all held-out examples of a model; `fixed` applies the fixes of its data check. */
export async function storedExamples(id: string, heldOut: boolean, fixed = false): Promise<StoredExample[]> {
  const found: StoredExample[] = [];
  for (let pageToken: string | undefined = ""; pageToken !== undefined;) {
    const query = { pageSize: EXAMPLES_PAGE, heldOut, ...(fixed && { fixed }), ...(pageToken && { pageToken }) };
    const path = { model_id: id };
    const page: Schemas["StoredExamplesPage"] = dataOf(
      await api.GET("/v1beta/tunedModels/{model_id}/examples", { params: { path, query } }),
    );
    found.push(...(page.examples ?? []));
    pageToken = page.nextPageToken;
  }
  return found;
}

const SAMPLED_MS = 5000; // an epoch rarely takes less

/** The answers to a few rows after each epoch; polled while the model is being tuned. */
export function useEpochAnswers(id: string, isWanted: boolean, isTuning: boolean) {
  return useQuery({
    queryKey: ["epochAnswers", id, isTuning],
    queryFn: async () =>
      dataOf(await api.GET("/v1beta/tunedModels/{model_id}/epochAnswers", { params: { path: { model_id: id } } })),
    enabled: isWanted,
    placeholderData: (previous) => previous,
    refetchInterval: isTuning && SAMPLED_MS,
  });
}

export function useHeldOut(id: string, isWanted: boolean) {
  return useQuery({
    queryKey: ["examples", id, "heldOut"],
    queryFn: () => storedExamples(id, true),
    enabled: isWanted,
    staleTime: Infinity,
  });
}

/** The first examples of a model; `rendered` adds the text that the base model read. */
export function useFirstExamples(id: string, isWanted: boolean, rendered = false) {
  return useQuery({
    queryKey: ["examples", id, "first", rendered],
    queryFn: async () => {
      const query = { pageSize: rendered ? RENDERED_EXAMPLES : 50, rendered };
      const path = { model_id: id };
      return dataOf(await api.GET("/v1beta/tunedModels/{model_id}/examples", { params: { path, query } }));
    },
    enabled: isWanted,
    staleTime: Infinity,
    retry: false,
  });
}

export type Problem = Schemas["DataProblemOut"];
export type Question = Schemas["QuestionOut"];
export type Parsed = Schemas["ParsedDatasetOut"] & { file: File; options: ReadOptions };
export type Estimate = Schemas["EstimateOut"];

/** How to read a file; the server detects missing options. */
export type ReadOptions = {
  sheet?: string;
  encoding?: string;
  delimiter?: string;
  headerRow?: string; // its number; 0: there is none
  hiddenRows?: string; // true or false
  inputColumn?: string[];
  outputColumn?: string;
  skipRows?: string;
  sampleRows?: string; // in the sample of the reply
};

const PAUSE_MS = 500; // after the last change, before a new estimate is requested

export async function parseFile(file: File, options: ReadOptions): Promise<Parsed> {
  const form = new FormData();
  form.set("file", file);
  for (const [name, value] of Object.entries(options)) {
    for (const one of [value].flat()) if (one !== undefined) form.append(name, one);
  }
  const reply = await fetch("/v1beta/datasets:parse", {
    method: "POST",
    body: form,
    credentials: "same-origin",
  });
  const body: unknown = await reply.json().catch(() => undefined);
  if (!reply.ok) throw errorFrom(body, reply.status);
  return { ...(body as Schemas["ParsedDatasetOut"]), file, options };
}

/** The estimated cost of tuning, updated shortly after the request changes; until then the previous one is kept. */
export function useEstimate(body: Schemas["TunedModelIn"] | undefined) {
  const wanted = body ? JSON.stringify(body) : "";
  const settled = useDebounced(wanted, PAUSE_MS);
  const estimate = useQuery({
    queryKey: ["estimate", settled],
    queryFn: () => send<Estimate>("POST", "/v1beta/tunedModels?validateOnly=true", settled),
    enabled: settled !== "" && body !== undefined,
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: 60_000,
    gcTime: 60_000,
  });
  return { estimate, isCurrent: wanted === settled };
}

export type Prompt = Schemas["PromptOut"];

/** Whether a prompt is a draft of the page New tuned model, which is stored as one. */
export const isDraft = ({ tuning }: Prompt) => tuning?.isDraft === true;

type PromptChanges = Schemas["PromptIn"];

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
    staleTime: Infinity, // edited here; changes from other tabs appear when it is opened again
    gcTime: 0,
  });
}

export const createPrompt = (body: PromptChanges) => send<Prompt>("POST", "/v1beta/prompts", body);

/** Change a prompt, unless it was changed elsewhere since `known`, its updateTime; then `isChangedElsewhere`. */
export const updatePrompt = (id: string, body: PromptChanges, known: string) =>
  send<Prompt>("PATCH", `/v1beta/prompts/${id}${known && `?ifUpdateTime=${encodeURIComponent(known)}`}`, body);
export const isChangedElsewhere = (error: unknown) =>
  error instanceof ApiError && error.status === "FAILED_PRECONDITION";
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

/** Export a prompt and return the text of the file. */
export async function exportPrompt(id: string, format: string): Promise<string> {
  const reply = await fetch(`/v1beta/prompts/${id}:export?format=${format}`, { credentials: "same-origin" });
  if (!reply.ok) throw errorFrom(await reply.json().catch(() => undefined), reply.status);
  return reply.text();
}
