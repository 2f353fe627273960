import type { Operation, TunedModel } from "../api/client";
import { text } from "../text/en";

const PHASES: Record<string, string> = {
  QUEUED: text.state.queued,
  PREPARING: text.state.preparing,
  RUNNING: text.state.tuning,
  PUBLISHING: text.state.saving,
};

/** The state of a tuned model as a word; the phase while it is being made. */
export function StateBadge({ model, operation }: { model: TunedModel; operation?: Operation }) {
  if (model.cancelled) return <span className="badge warn">{text.state.cancelled}</span>;
  if (model.state === "FAILED") return <span className="badge bad">{text.state.failed}</span>;
  if (model.state === "ACTIVE") return <span className="badge good">{text.state.ready}</span>;
  const phase = operation?.metadata.phase ?? model.tuningTask.phase;
  return <span className="badge live">{PHASES[phase] ?? text.state.saving}</span>;
}
