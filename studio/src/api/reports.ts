// What a server finds out about a tuned model in minutes: asked for, watched while it goes on, and the newest report.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type Schemas, send } from "./client";

type Kinds = {
  evaluations: Schemas["EvaluationOut"];
  examinations: Schemas["ExaminationOut"];
  dataCurves: Schemas["DataCurveOut"];
};
export type Kind = keyof Kinds;
export type Report = Schemas["ReportOut"];
export type Finding = Schemas["FindingOut"];

const ASK: Record<Kind, string> = {
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
const NONE_MS = 10_000; // somebody else may ask, and a server evaluates a new model by itself

/** The newest of its kind, without waiting for one that runs; null if there was none. */
export async function readInquiry<K extends Kind>(kind: K, id: string): Promise<Kinds[K] | null> {
  const page = await send<Partial<Record<K, Kinds[K][]>>>("GET", `/v1beta/tunedModels/${id}/${kind}`);
  return page[kind]?.[0] ?? null;
}

/** The newest of its kind, read again while it goes on, and the ways to ask for another and to end it. */
export function useInquiry<K extends Kind>(kind: K, id: string, isWanted: boolean) {
  const client = useQueryClient();
  const queryKey = [kind, id];
  const query = useQuery({
    queryKey,
    queryFn: () => readInquiry(kind, id),
    enabled: isWanted,
    refetchInterval: ({ state: { data } }) => {
      if (data?.state === "RUNNING") return RUNNING_MS;
      return data === null && NONE_MS;
    },
  });
  const asking = useMutation({
    mutationFn: async (how: object | Promise<object>) =>
      send<Kinds[K]>("POST", `/v1beta/tunedModels/${id}:${ASK[kind]}`, await how),
    onSuccess: (inquiry) => client.setQueryData(queryKey, inquiry),
  });
  const cancelling = useMutation({
    mutationFn: () => send("POST", `/v1beta/tunedModels/${id}:${CANCEL[kind]}`),
    onSuccess: () => client.invalidateQueries({ queryKey }),
  });
  return { query, asking, cancelling };
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
type Card = { curve: { kept_epochs: number[] }; exports: ProvenExport[] };

const PROVING_MS = 3000;

/** The card of a tuned model; read again and again while a proof is awaited. */
export function useCard(id: string, isWanted: boolean, isProving = false) {
  return useQuery({
    queryKey: ["card", id],
    queryFn: () => send<Card>("GET", `/v1beta/tunedModels/${id}:card`),
    enabled: isWanted,
    refetchInterval: isProving && PROVING_MS,
  });
}
