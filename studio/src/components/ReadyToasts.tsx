import { useEffect, useRef } from "react";
import { useLocation } from "wouter";
import { idOf, isRunning, useTunedModels } from "../api/models";
import { text } from "../text/en";
import { dismissTopic, toast } from "../toasts";

/** Watches the user's runs from every page and says when one has ended; the model's own page says it itself. */
export function ReadyToasts() {
  const models = useTunedModels("owner:me").data;
  const [here, go] = useLocation();
  const running = useRef(new Set<string>());
  useEffect(() => {
    for (const model of models ?? []) {
      const path = `/models/${idOf(model.name)}`;
      if (isRunning(model)) running.current.add(model.name);
      else if (running.current.delete(model.name) && here !== path && !model.cancelled) {
        const isReady = model.state === "ACTIVE";
        toast(isReady ? text.model.ready(model.displayName) : text.model.failedToast(model.displayName), {
          kind: isReady ? "good" : "bad",
          topic: path,
          action: { label: text.library.open, act: () => go(path) },
        });
      }
    }
  }, [models, here, go]);
  useEffect(() => dismissTopic(here), [here]);
  return null;
}
