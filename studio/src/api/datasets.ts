// Files read by the server: format, columns, examples and problems; nothing is stored. And what tuning will take.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { errorFrom, send, type Schemas } from "./client";
import { useSettled } from "../hooks/useSettled";

export type Problem = Schemas["DataProblemOut"];
export type Parsed = Schemas["ParsedDatasetOut"] & { file: File };
export type Estimate = Schemas["EstimateOut"];

/** How a file shall be read, where it is not left to the server. */
export type ReadOptions = {
  sheet?: string;
  encoding?: string;
  delimiter?: string;
  header?: string;
  inputColumn?: string[];
  outputColumn?: string;
  skipRows?: string;
};

const PAUSE_MS = 500; // after the last change, before the server is asked what it will take

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
  return { ...(body as Schemas["ParsedDatasetOut"]), file };
}

/** What a request would take, asked again a moment after it changed; the answer before stays until then. */
export function useEstimate(body: Schemas["TunedModelIn"] | undefined) {
  const settled = useSettled(body ? JSON.stringify(body) : "", PAUSE_MS);
  return useQuery({
    queryKey: ["estimate", settled],
    queryFn: () => send<Estimate>("POST", "/v1beta/tunedModels?validateOnly=true", settled),
    enabled: settled !== "" && body !== undefined,
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: 60_000,
    gcTime: 60_000,
  });
}
