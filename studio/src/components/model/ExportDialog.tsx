import { useState } from "react";
import { Button } from "react-aria-components";
import { atEpoch, idOf, type TunedModel } from "../../api/client";
import { type Proof, type ProvenExport, useCard } from "../../api/reports";
import { openPath } from "../../transfer";
import { Checkbox, type Option, SelectField } from "../controls";
import { Window } from "../dialogs";
import { text } from "./text";

type Format = keyof typeof text.exports.formats;
const FORMATS = Object.keys(text.exports.formats) as Format[];

/** Export a tuned model: format, epoch, and whether to check that the export gives the same answers. */
export function ExportDialog({ model, onClose }: { model: TunedModel; onClose: () => void }) {
  const id = idOf(model.name);
  const hasHeldOut = (model.tuningTask?.heldOutRows ?? 0) > 0;
  const [format, setFormat] = useState<Format>("adapter");
  const [epoch, setEpoch] = useState("");
  const [proves, setProves] = useState(hasHeldOut);
  const [awaited, setAwaited] = useState<{ format: Format; before?: string }>(); // the proof being made
  const card = useCard(id, true, awaited !== undefined).data;
  const known = card?.exports ?? [];
  const kept = card?.curve.kept_epochs ?? [];
  const timeOf = (name: Format) => known.find((one) => one.format === name)?.create_time;
  if (awaited && timeOf(awaited.format) !== awaited.before) setAwaited(undefined);
  function startExport() {
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
        options={FORMATS.map((name) => [name, text.exports.formats[name].label])}
      />
      {kept.length > 1 && (
        <SelectField
          label={text.epochs.epoch}
          value={epoch}
          change={setEpoch}
          options={[["", text.epochs.chosen], ...kept.map((number): Option => [`${number}`, `${number}`])]}
        />
      )}
      <Checkbox label={text.exports.prove(hasHeldOut)} isChecked={proves} change={setProves} />
      <div className="row">
        <Button className="button primary" onPress={startExport}>
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

/** How the answers of exports compared with the model's, for the newest export of each format. */
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
