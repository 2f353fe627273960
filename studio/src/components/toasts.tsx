import { useEffect, useRef, useSyncExternalStore } from "react";
import { Button } from "react-aria-components";
import { useLocation } from "wouter";
import { isRunning, useTunedModels } from "../api/models";
import { idOf } from "../api/client";
import { Icon } from "./controls";
import { text } from "./text";

/** The messages on screen; screen readers announce them. */
export function Toasts() {
  const toasts = useToasts();
  return (
    <section className="toasts" aria-label={text.toast.region} aria-live="polite">
      {toasts.map(({ id, message, action, kind }) => (
        <div key={id} className={`toast ${kind ?? ""}`}>
          <span dir="auto">{message}</span>
          {action && (
            <Button
              className="button quiet"
              onPress={() => {
                dismiss(id);
                action.act();
              }}
            >
              {action.label}
            </Button>
          )}
          <Button className="button quiet" aria-label={text.toast.close} onPress={() => dismiss(id)}>
            <Icon name="close" size={16} />
          </Button>
        </div>
      ))}
    </section>
  );
}

/** Watches the user's tuning jobs and reports when one ends, except on the model's own page. */
export function ReadyToasts() {
  const models = useTunedModels("owner:me").data;
  const [here, go] = useLocation();
  const running = useRef(new Set<string>());
  useEffect(() => {
    for (const model of models ?? []) {
      const path = `/models/${idOf(model.name)}`;
      if (isRunning(model)) running.current.add(model.name);
      else if (running.current.delete(model.name) && !model.cancelled) {
        const isReady = model.state === "ACTIVE";
        const message = isReady ? text.job.ready(model.displayName) : text.job.failed(model.displayName);
        notify(message, () => go(path));
        if (here === path) continue;
        toast(message, {
          kind: isReady ? "good" : "bad",
          topic: path,
          action: { label: text.common.open, act: () => go(path) },
        });
      }
    }
  }, [models, here, go]);
  useEffect(() => dismissTopic(here), [here]);
  return null;
}

const NOTIFY = "tunery-notify"; // under this key the browser keeps that its user wants to be notified

type NotifyState = "impossible" | "off" | "on" | "denied";

/** Notifications of the browser when a job ends while its page is not in front; off until the user turns them on. */
export function notifyState(): NotifyState {
  if (!("Notification" in window) || !isSecureContext) return "impossible";
  if (Notification.permission === "denied") return "denied";
  return Notification.permission === "granted" && localStorage.getItem(NOTIFY) === "on" ? "on" : "off";
}

export async function startNotifying(): Promise<NotifyState> {
  await Notification.requestPermission();
  localStorage.setItem(NOTIFY, "on");
  return notifyState();
}

export function stopNotifying(): NotifyState {
  localStorage.removeItem(NOTIFY);
  return notifyState();
}

function notify(message: string, open: () => void) {
  if (notifyState() !== "on" || document.hasFocus()) return;
  const shown = new Notification(text.product, { body: message, icon: "/studio/icon.svg" });
  shown.onclick = () => {
    window.focus();
    open();
  };
}

type Toast = {
  id: number;
  message: string;
  action?: { label: string; act: () => void };
  kind?: "good" | "bad";
  topic?: string; // a newer message replaces older ones of the same topic
};

const SHOWN_MS = 8000;
const WITH_ACTION_MS = 60_000; // time to read it and reach the button, on a busy machine and by keyboard too

let toasts: readonly Toast[] = [];
let lastId = 0;
const listeners = new Set<() => void>();

export function toast(message: string, more: Pick<Toast, "action" | "kind" | "topic"> = {}): void {
  const id = ++lastId;
  const others = toasts.filter(({ topic }) => !topic || topic !== more.topic);
  set([...others.slice(-2), { id, message, ...more }]);
  setTimeout(() => dismiss(id), more.action ? WITH_ACTION_MS : SHOWN_MS);
}

export const toastError = (error: Error) => toast(error.message, { kind: "bad" });

function dismiss(id: number): void {
  set(toasts.filter((known) => known.id !== id));
}

function dismissTopic(topic: string): void {
  set(toasts.filter((known) => known.topic !== topic));
}

function useToasts(): readonly Toast[] {
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
