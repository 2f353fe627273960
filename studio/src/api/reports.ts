// Reports on a tuned model, which take minutes (evaluation, data check, data curve), and its card with the proofs of its exports.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { errorFrom, type Schemas, send } from "./client";

type Jobs = {
  evaluations: Schemas["EvaluationOut"];
  examinations: Schemas["ExaminationOut"];
  dataCurves: Schemas["DataCurveOut"];
};
export type Kind = keyof Jobs;
export type EvaluationReport = Schemas["ReportOut"];
export type Finding = Schemas["FindingOut"];

const START: Record<Kind, string> = {
  evaluations: "evaluate",
  examinations: "examine",
  dataCurves: "dataCurve",
};
const CANCEL: Record<Kind, string> = {
  evaluations: "cancelEvaluation",
  examinations: "cancelExamination",
  dataCurves: "cancelDataCurve",
};
const RUNNING_MS = 2000;
const NONE_MS = 10_000; // others may start one, and the server evaluates new models automatically

/** The newest report of a kind, finished or not; null if there is none. */
export async function readReport<K extends Kind>(kind: K, id: string): Promise<Jobs[K] | null> {
  const page = await send<Partial<Record<K, Jobs[K][]>>>("GET", `/v1beta/tunedModels/${id}/${kind}`);
  return page[kind]?.[0] ?? null;
}

/** The newest report of a kind, polled while it is being made, with ways to start another one and to stop it. */
export function useReport<K extends Kind>(kind: K, id: string, isWanted: boolean) {
  const client = useQueryClient();
  const queryKey = [kind, id];
  const query = useQuery({
    queryKey,
    queryFn: () => readReport(kind, id),
    enabled: isWanted,
    refetchInterval: ({ state: { data } }) => {
      if (data?.state === "RUNNING") return RUNNING_MS;
      return data === null && NONE_MS;
    },
  });
  const starting = useMutation({
    mutationFn: async (how: object | Promise<object>) =>
      send<Jobs[K]>("POST", `/v1beta/tunedModels/${id}:${START[kind]}`, await how),
    onSuccess: (job) => client.setQueryData(queryKey, job),
  });
  const stopping = useMutation({
    mutationFn: () => send("POST", `/v1beta/tunedModels/${id}:${CANCEL[kind]}`),
    onSuccess: () => client.invalidateQueries({ queryKey }),
  });
  return { query, starting, stopping };
}

export type Proof = {
  file: string;
  runtime: string;
  rows: number;
  agreed: number;
  agreement: number | null;
  reason: string | null;
};
export type ProvenExport = {
  format: string;
  epoch: number | null;
  rows_from: string;
  create_time: string;
  proofs: Proof[];
};
type Card = {
  curve: { kept_epochs: number[] };
  exports: ProvenExport[];
  output_contract: { labels: string[] } | null;
};

/** The card of a tuned model as Markdown. */
export async function readCard(id: string): Promise<string> {
  const reply = await fetch(`/v1beta/tunedModels/${id}:card?format=markdown`, { credentials: "same-origin" });
  if (!reply.ok) throw errorFrom(await reply.json().catch(() => undefined), reply.status);
  return reply.text();
}

/** The card of a tuned model. */
export function useCard(id: string, isWanted: boolean) {
  return useQuery({
    queryKey: ["card", id],
    queryFn: () => send<Card>("GET", `/v1beta/tunedModels/${id}:card`),
    enabled: isWanted,
  });
}
