import { text } from "../../text/en";

/** What the lines mean: by pattern and mark, besides their colour. */
export function Legend({ hasHeldOut }: { hasHeldOut: boolean }) {
  return (
    <div className="row small soft legend" aria-hidden="true">
      <span>
        <svg width="28" height="10">
          <line x1="0" y1="5" x2="28" y2="5" stroke="var(--field-line)" />
        </svg>
        {text.chart.stepLoss}
      </span>
      <span>
        <svg width="28" height="10">
          <line x1="0" y1="5" x2="28" y2="5" stroke="var(--accent)" strokeWidth="2.5" />
          <circle cx="14" cy="5" r="4" fill="var(--accent)" />
        </svg>
        {text.chart.epochLoss}
      </span>
      {hasHeldOut && (
        <span>
          <svg width="28" height="10">
            <line x1="0" y1="5" x2="28" y2="5" stroke="var(--good)" strokeWidth="2.5" strokeDasharray="6 4" />
            <rect x="10.5" y="1.5" width="7" height="7" fill="var(--good)" />
          </svg>
          {text.chart.heldOutLoss}
        </span>
      )}
    </div>
  );
}
