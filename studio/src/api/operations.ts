// Operations of tuned models: polled with an ETag each second while they run, more slowly while they wait.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { errorFrom, type Operation, type TunedModel } from "./client";
import { idOf, isRunning } from "./models";

const RUNNING_MS = 1000;
const QUEUED_MS = 5000;

const seen = new Map<string, { tag: string; operation: Operation }>(); // what a 304 stands for

/** The operation that makes a model: phase, place in the queue, and the curve so far. */
export function useOperation(model: TunedModel | undefined) {
  const client = useQueryClient();
  const name = model?.operation ?? "";
  const query = useQuery({
    queryKey: ["operation", name],
    queryFn: () => read(name),
    enabled: isRunning(model),
    refetchInterval: ({ state }) => {
      if (state.data?.done) return false;
      return state.data?.metadata.phase === "QUEUED" ? QUEUED_MS : RUNNING_MS;
    },
  });
  const isDone = query.data?.done === true && isRunning(model);
  const id = idOf(model?.name ?? "");
  useEffect(() => {
    if (!isDone) return;
    void client.invalidateQueries({ queryKey: ["tunedModel", id] });
    void client.invalidateQueries({ queryKey: ["tunedModels"] });
  }, [client, id, isDone]);
  return query;
}

async function read(name: string): Promise<Operation> {
  const known = seen.get(name);
  const reply = await fetch(`/v1beta/${name}?extensions=true`, {
    credentials: "same-origin",
    cache: "no-store",
    headers: known ? { "If-None-Match": known.tag } : {},
  });
  if (reply.status === 304 && known) return known.operation;
  const body: unknown = await reply.json();
  if (!reply.ok) throw errorFrom(body, reply.status);
  const operation = body as Operation;
  const tag = reply.headers.get("ETag");
  if (tag) seen.set(name, { tag, operation });
  return operation;
}
