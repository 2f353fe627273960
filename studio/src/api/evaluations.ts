// Whether tuning helped: asked for, watched while it is found out, and the newest report.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, dataOf, send, type Schemas } from "./client";

export type Evaluation = Schemas["EvaluationOut"];
export type Report = Schemas["ReportOut"];

const RUNNING_MS = 2000;

/** The newest evaluation of a model; null if it was never evaluated. */
export function useEvaluation(id: string, isWanted: boolean) {
  return useQuery({
    queryKey: ["evaluation", id],
    queryFn: async (): Promise<Evaluation | null> => {
      const params = { path: { model_id: id } };
      const page = dataOf(await api.GET("/v1beta/tunedModels/{model_id}/evaluations", { params }));
      return page.evaluations?.[0] ?? null;
    },
    enabled: isWanted,
    refetchInterval: ({ state }) => (state.data?.state === "RUNNING" ? RUNNING_MS : false),
  });
}

export function useEvaluate(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => send<Evaluation>("POST", `/v1beta/tunedModels/${id}:evaluate`, {}),
    onSuccess: (evaluation) => client.setQueryData(["evaluation", id], evaluation),
  });
}
