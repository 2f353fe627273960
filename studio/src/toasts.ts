// Short messages at the edge of the page: shown, undone, closed.

import { useSyncExternalStore } from "react";

export type Toast = {
  id: number;
  message: string;
  action?: { label: string; act: () => void };
  kind?: "good" | "bad";
  topic?: string; // a newer one of the same topic takes its place
};

const SHOWN_MS = 8000;
const WITH_ACTION_MS = 20_000; // time to read and reach the button

let toasts: readonly Toast[] = [];
let lastId = 0;
const listeners = new Set<() => void>();

export function toast(message: string, more: Pick<Toast, "action" | "kind" | "topic"> = {}): void {
  const id = ++lastId;
  const others = toasts.filter(({ topic }) => !topic || topic !== more.topic);
  set([...others.slice(-2), { id, message, ...more }]);
  setTimeout(() => dismiss(id), more.action ? WITH_ACTION_MS : SHOWN_MS);
}

export function dismiss(id: number): void {
  set(toasts.filter((known) => known.id !== id));
}

export function dismissTopic(topic: string): void {
  set(toasts.filter((known) => known.topic !== topic));
}

export function useToasts(): readonly Toast[] {
  return useSyncExternalStore(subscribe, () => toasts);
}

function set(next: readonly Toast[]) {
  toasts = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
