// Whether the dialog that signs in is open, and why.

import { useSyncExternalStore } from "react";

let reason: string | undefined;
const listeners = new Set<() => void>();

/** Open the dialog over the page; what is typed in the page stays. */
export function askToSignIn(why = ""): void {
  set(why);
}

export function closeSignIn(): void {
  set(undefined);
}

export function useSignInReason(): string | undefined {
  return useSyncExternalStore(subscribe, () => reason);
}

function set(next: string | undefined) {
  reason = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
