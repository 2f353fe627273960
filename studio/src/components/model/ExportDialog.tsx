import { useState } from "react";
import { Button } from "react-aria-components";
import { atEpoch, idOf, type TunedModel } from "../../api/client";
import { type Proof, type ProvenExport, useCard } from "../../api/reports";
import { openPath } from "../../transfer";
import { SelectField } from "../controls";
import { Window } from "../dialogs";
import { text } from "./text";

type Format = keyof typeof text.exports.formats;
const FORMATS = Object.keys(text.exports.formats) as Format[];

/** Take a tuned model along: in which form, which epoch, and whether to prove that it answers the same there. */
export function ExportDialog({ model, onClose }: { model: TunedModel; onClose: () => void }) {
  const id = idOf(model.name);
  const hasHeldOut = (model.tuningTask?.heldOutRows ?? 0) > 0;
  const [format, setFormat] = useState<Format>("adapter");
  const [epoch, setEpoch] = useState("");
  const [proves, setProves] = useState(hasHeldOut);
  const [awaited, setAwaited] = useState<{ format: Format; before?: string }>(); // a proof that is not there yet
  const card = useCard(id, true, awaited !== undefined).data;
  const known = card?.exports ?? [];
  const timeOf = (name: Format) => known.find((one) => one.format === name)?.create_time;
  if (awaited && timeOf(awaited.format) !== awaited.before) setAwaited(undefined);
  function take() {
    setAwaited(proves ? { format, before: timeOf(format) } : undefined);
    openPath(`tunedModels/${atEpoch(id, epoch)}:export?format=${format}&prove=${proves}`);
  }
  return (
    <Window title={text.exports.title(model.displayName)} isOpen onClose={onClose}>
      <SelectField
        label={text.exports.format}
        value={format}
        change={(next) => setFormat(next as Format)}
        help={text.exports.formats[format].help}
      >
        {FORMATS.map((name) => (
          <option key={name} value={name}>
            {text.exports.formats[name].label}
          </option>
        ))}
      </SelectField>
      {(card?.curve.kept_epochs.length ?? 0) > 1 && (
        <SelectField label={text.epochs.epoch} value={epoch} change={setEpoch}>
          <option value="">{text.epochs.chosen}</option>
          {card?.curve.kept_epochs.map((number) => (
            <option key={number}>{number}</option>
          ))}
        </SelectField>
      )}
      <label className="row plain">
        <input type="checkbox" checked={proves} onChange={() => setProves(!proves)} />
        {text.exports.prove(hasHeldOut)}
      </label>
      <div className="row">
        <Button className="button primary" onPress={take}>
          {text.exports.download}
        </Button>
        <span role="status" className="small soft">
          {awaited ? text.exports.proving : ""}
        </span>
      </div>
      <Proofs exports={known} />
    </Window>
  );
}

/** What exports answered beside the tuned model, the newest of each format. */
function Proofs({ exports }: { exports: ProvenExport[] }) {
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
