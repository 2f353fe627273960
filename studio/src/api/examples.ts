// The examples of a tuned model: what it learned, and what was held out.

import { useQuery } from "@tanstack/react-query";
import { api, dataOf, type Schemas } from "./client";

export type StoredExample = Schemas["StoredExampleOut"];

const PAGE = 1000;
const SHOWN = 5;

/** All examples of one side, page after page. */
export async function storedExamples(id: string, heldOut: boolean): Promise<StoredExample[]> {
  const found: StoredExample[] = [];
  for (let pageToken: string | undefined = ""; pageToken !== undefined;) {
    const query = { pageSize: PAGE, heldOut, ...(pageToken && { pageToken }) };
    const path = { model_id: id };
    const page: Schemas["StoredExamplesPage"] = dataOf(
      await api.GET("/v1beta/tunedModels/{model_id}/examples", { params: { path, query } }),
    );
    found.push(...(page.examples ?? []));
    pageToken = page.nextPageToken;
  }
  return found;
}

export function useHeldOut(id: string, isWanted: boolean) {
  return useQuery({
    queryKey: ["examples", id, "heldOut"],
    queryFn: () => storedExamples(id, true),
    enabled: isWanted,
    staleTime: Infinity,
  });
}

/** The first examples of a model, on request as its base read them. */
export function useFirstExamples(id: string, isWanted: boolean, rendered = false) {
  return useQuery({
    queryKey: ["examples", id, "first", rendered],
    queryFn: async () => {
      const query = { pageSize: rendered ? SHOWN : 50, rendered };
      const path = { model_id: id };
      return dataOf(await api.GET("/v1beta/tunedModels/{model_id}/examples", { params: { path, query } }));
    },
    enabled: isWanted,
    staleTime: Infinity,
    retry: false,
  });
}
