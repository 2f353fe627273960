// How long a tuning task took.

import type { Schemas } from "./api/client";

export function tookSeconds({ startTime, completeTime }: Schemas["TuningTaskOut"]): number | undefined {
  if (!startTime || !completeTime) return undefined;
  return (Date.parse(completeTime) - Date.parse(startTime)) / 1000;
}
