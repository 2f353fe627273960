// Exports of tuned models: the available formats, and the export that is being prepared and downloaded.

import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { download } from "../transfer";
import { api, dataOf, errorFrom, type Schemas } from "./client";

export type ExportFormat = Schemas["ExportFormatOut"];

/** The formats that a tuned model can be exported to, with their sizes. */
export function useExportFormats(id: string) {
  return useQuery({
    queryKey: ["exportFormats", id],
    queryFn: async () => {
      const params = { path: { model_id: id } };
      return dataOf(await api.GET("/v1beta/tunedModels/{model_id}/exportFormats", { params })).exportFormats;
    },
  });
}

/** An export in progress: the server writes it, then it is downloaded. It continues when the dialog is closed. */
export type RunningExport = {
  model: string; // ID
  since: number; // milliseconds
  loaded?: number; // bytes; undefined while the server is writing
  total?: number;
  error?: unknown;
  cancel: () => void;
};

type Wanted = { id: string; name: string; query: Record<string, string>; file: string; done: () => void };

/** Start an export; the browser saves the file when it is complete. */
export function startExport({ id, name, query, file, done }: Wanted): void {
  const request = new XMLHttpRequest(); // reports progress, and its blobs are kept on disk
  request.open("GET", `/v1beta/tunedModels/${name}:export?${new URLSearchParams(query)}`);
  request.responseType = "blob";
  set({ model: id, since: Date.now(), cancel: () => request.abort() });
  request.onprogress = ({ loaded, total }) => request.status === 200 && change({ loaded, total });
  request.onabort = () => set(undefined);
  request.onerror = () => change({ error: new TypeError() }); // no reply
  request.onload = () => {
    const blob = request.response as Blob;
    if (request.status !== 200)
      return void blob.text().then((text) => change({ error: refusal(text, request.status) }));
    download(file, blob, "application/x-tar");
    set(undefined);
    done();
  };
  request.send();
}

function refusal(text: string, status: number) {
  try {
    return errorFrom(JSON.parse(text), status);
  } catch {
    return errorFrom(undefined, status);
  }
}

let current: RunningExport | undefined;
const listeners = new Set<() => void>();

export function useExport(): RunningExport | undefined {
  return useSyncExternalStore(subscribe, () => current);
}

function change(part: Partial<RunningExport>) {
  if (current) set({ ...current, ...part });
}

function set(next: RunningExport | undefined) {
  current = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
