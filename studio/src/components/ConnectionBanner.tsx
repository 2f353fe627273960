import { useQueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { isLost } from "../api/client";
import { text } from "../text/en";

/** Says that the server does not answer, while requests are tried again; what was known stays on the page. */
export function ConnectionBanner() {
  const cache = useQueryClient().getQueryCache();
  const isGone = useSyncExternalStore(
    (listener) => cache.subscribe(listener),
    () => cache.getAll().some(({ state }) => isLost(state.fetchFailureReason)),
  );
  return (
    <div role="status" className="banner-place">
      {isGone && <div className="banner">{text.error.lost}</div>}
    </div>
  );
}
