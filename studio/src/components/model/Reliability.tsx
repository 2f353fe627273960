import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { share } from "../../format";
import { Table } from "../Facts";
import { text } from "./text";

type Props = { model: string; calibration: Schemas["CalibrationOut"] };

/** How far the probabilities of labels can be trusted: a sentence, a picture, and what a threshold would leave. */
export function Reliability({ model, calibration: { text: sentence, bins, thresholds } }: Props) {
  return (
    <details>
      <summary>{text.verdict.trust}</summary>
      <p className="gap-top">{sentence}</p>
      <div className="stack">
        {bins.length > 0 && (
          <figure className="reliability">
            <Picture bins={bins} />
            <figcaption className="help">{text.verdict.reliabilityHelp}</figcaption>
          </figure>
        )}
        <div className="scroll">
          <Table
            heads={[
              [text.verdict.above, "number"],
              [text.verdict.answered, "number"],
              [text.verdict.ofTheseRight, "number"],
              [
                <span key="try" className="visually-hidden">
                  {text.verdict.try}
                </span>,
              ],
            ]}
          >
            <tbody>
              {thresholds.map(({ probability, answered, right }) => (
                <tr key={probability}>
                  <td className="number">{share(probability)}</td>
                  <td className="number">{share(answered)}</td>
                  <td className="number">{right === undefined ? "–" : share(right)}</td>
                  <td>
                    <Link
                      href={`/playground?model=${model}&below=${Math.round(100 * probability)}`}
                      aria-label={text.verdict.tryThreshold(share(probability))}
                    >
                      {text.verdict.try}
                    </Link>
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        </div>
      </div>
    </details>
  );
}

const SIZE = 200;
const LEAST_RADIUS = 3;
const MOST_RADIUS = 11; // of a bin with all rows

/** Probability against the share of right answers, a dot for each bin, with the line of true probabilities. */
function Picture({ bins }: { bins: readonly Schemas["ReliabilityBinOut"][] }) {
  const all = bins.reduce((sum, { rows }) => sum + rows, 0);
  return (
    <svg viewBox={`-34 -14 ${SIZE + 60} ${SIZE + 52}`} role="group" aria-label={text.verdict.reliability}>
      <rect width={SIZE} height={SIZE} />
      <line x1={0} y1={SIZE} x2={SIZE} y2={0} />
      {[0, 0.5, 1].map((part) => (
        <g key={part} aria-hidden="true">
          <text x={part * SIZE} y={SIZE + 16} textAnchor="middle">
            {share(part)}
          </text>
          <text x={-5} y={SIZE - part * SIZE + 4} textAnchor="end">
            {Math.round(100 * part)}
          </text>
        </g>
      ))}
      <text x={SIZE / 2} y={SIZE + 34} textAnchor="middle" aria-hidden="true">
        {text.verdict.said}
      </text>
      <text x={6} y={16} aria-hidden="true">
        {text.verdict.rightShare}
      </text>
      {bins.map(({ rows, probability, right }) => (
        <circle
          key={probability}
          cx={probability * SIZE}
          cy={SIZE - right * SIZE}
          r={LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * Math.sqrt(rows / all)}
          role="img"
          aria-label={text.verdict.bin(rows, share(probability), share(right))}
        >
          <title>{text.verdict.bin(rows, share(probability), share(right))}</title>
        </circle>
      ))}
    </svg>
  );
}
