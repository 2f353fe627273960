import type { Proof, ProvenExport } from "../../api/cards";
import { text } from "../../text/en";

/** What exports answered beside the tuned model, the newest of each format. */
export function Proofs({ exports }: { exports: ProvenExport[] }) {
  if (exports.length === 0) return null;
  return (
    <section className="stack tight" aria-labelledby="proofs">
      <h3 id="proofs">{text.exports.proofs}</h3>
      <ul className="plain-list small">
        {exports.flatMap((one) =>
          one.proofs.map((proof) => <li key={`${one.format}/${proof.file}`}>{sentence(one, proof)}</li>),
        )}
      </ul>
    </section>
  );
}

function sentence(one: ProvenExport, proof: Proof): string {
  const what = text.exports.what(one.format, proof.file, one.epoch);
  return proof.agreement === null
    ? text.exports.notProven(what, proof.reason ?? "")
    : text.exports.agreed(what, proof.runtime, proof.agreed, proof.rows, one.rows_from);
}
