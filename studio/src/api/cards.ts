// What is known of a tuned model on its card, as far as the Studio shows it: kept epochs and proofs of exports.

import { useQuery } from "@tanstack/react-query";
import { send } from "./client";

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
