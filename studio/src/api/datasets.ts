// Files read by the server: format, columns, examples and problems; nothing is stored. And what tuning will take.

import { useQuery } from "@tanstack/react-query";
import { dataOf, errorFrom, type Schemas } from "./client";
import { useEffect, useState } from "react";

export type Problem = Schemas["DataProblemOut"];
export type Parsed = Schemas["ParsedDatasetOut"] & { file: File };
export type Estimate = Schemas["EstimateOut"];

const PAUSE_MS = 500; // after the last change, before the server is asked what it will take

export async function parseFile(file: File, options: Record<string, string>): Promise<Parsed> {
  const form = new FormData();
  form.set("file", file);
  for (const [name, value] of Object.entries(options)) form.set(name, value);
  const reply = await fetch("/v1beta/datasets:parse", {
    method: "POST",
    body: form,
    credentials: "same-origin",
  });
  const body: unknown = await reply.json();
  if (!reply.ok) throw errorFrom(body, reply.status);
  return { ...(body as Schemas["ParsedDatasetOut"]), file };
}

/** What a request would take, asked again a moment after it changed; the answer before stays until then. */
export function useEstimate(body: Schemas["TunedModelIn"], isReady: boolean) {
  const settled = useSettled(JSON.stringify(body));
  return useQuery({
    queryKey: ["estimate", settled],
    queryFn: async () => {
      const reply = await fetch("/v1beta/tunedModels?validateOnly=true", {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": "application/json" },
        body: settled,
      });
      const content: unknown = await reply.json();
      return dataOf<Estimate>({ data: content as Estimate, error: content, response: reply });
    },
    enabled: isReady,
    placeholderData: (previous) => previous,
    retry: false,
  });
}

function useSettled(value: string) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
