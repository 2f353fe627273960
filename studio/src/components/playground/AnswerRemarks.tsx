import type { Remarks } from "../../hooks/useAnswer";
import { share } from "../../format";
import { text } from "../../text/en";

const SHOWN = 5;

/** What the server remarks on an answer: how the prompt differs from the examples, how probable each label is. */
export function AnswerRemarks({ remarks: { promptContract, labelProbabilities } }: { remarks: Remarks }) {
  const differences = promptContract?.differences ?? [];
  const labels = Object.entries(labelProbabilities ?? {}).slice(0, SHOWN);
  return (
    <>
      {promptContract?.wrapped && <p className="small soft">{text.playground.wrapped}</p>}
      {differences.length > 0 && (
        <p className="note warn small" role="status">
          {text.playground.unlike(differences.map((difference) => difference.text))}
        </p>
      )}
      {labels.length > 0 && (
        <dl className="facts small" aria-label={text.playground.probabilities}>
          {labels.map(([label, probability]) => (
            <div key={label} className="fact">
              <dt>{label}</dt>
              <dd>{share(probability)}</dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}
