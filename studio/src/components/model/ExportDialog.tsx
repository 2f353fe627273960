import { useEffect, useState } from "react";
import { Button } from "react-aria-components";
import { useQueryClient } from "@tanstack/react-query";
import { atEpoch, idOf, type TunedModel } from "../../api/client";
import { type ExportFormat, type RunningExport, startExport, useExport, useExportFormats } from "../../api/exports";
import { type Proof, type ProvenExport, useCard } from "../../api/reports";
import { megabytes } from "../../format";
import { Checkbox, type Option, SelectField } from "../controls";
import { Window } from "../dialogs";
import { ErrorNote } from "../Page";
import { text } from "./text";

type Format = keyof typeof text.exports.formats;
type Bits = keyof typeof text.exports.bitsOptions;
const FORMATS = Object.keys(text.exports.formats) as Format[];
const BITS: Bits[] = ["8", "16", ""];

/** Export a tuned model: format, size, epoch, and whether to check that the export gives the same answers. */
export function ExportDialog({ model, onClose }: { model: TunedModel; onClose: () => void }) {
  const id = idOf(model.name);
  const client = useQueryClient();
  const hasHeldOut = (model.tuningTask?.heldOutRows ?? 0) > 0;
  const [format, setFormat] = useState<Format>("adapter");
  const [bits, setBits] = useState<Bits>("8");
  const [epoch, setEpoch] = useState("");
  const [proves, setProves] = useState(hasHeldOut);
  const card = useCard(id, true).data;
  const sizes = useExportFormats(id).data ?? [];
  const running = useExport();
  const isBusy = running !== undefined && running.error === undefined;
  const kept = card?.curve.kept_epochs ?? [];
  function start() {
    const name = atEpoch(id, epoch);
    const query = { format, ...(format === "gguf" && bits && { bits }), prove: String(proves) };
    const done = () => void client.invalidateQueries({ queryKey: ["card", id] });
    startExport({ id, name, query, file: `${name}-${format}.tar`, done });
  }
  return (
    <Window title={text.exports.title(model.displayName)} isOpen onClose={onClose}>
      <SelectField
        label={text.exports.format}
        value={format}
        change={(next) => setFormat(next as Format)}
        help={text.exports.formats[format].help}
        options={FORMATS.map((name) => [
          name,
          text.exports.withSize(text.exports.formats[name].label, sizeOf(sizes, name, bits)),
        ])}
      />
      {format === "gguf" && (
        <SelectField
          label={text.exports.bits}
          value={bits}
          change={(next) => setBits(next as Bits)}
          options={BITS.map((name) => [
            name,
            text.exports.withSize(text.exports.bitsOptions[name], sizeOf(sizes, format, name)),
          ])}
        />
      )}
      {kept.length > 1 && (
        <SelectField
          label={text.epochs.epoch}
          value={epoch}
          change={setEpoch}
          options={[["", text.epochs.chosen], ...kept.map((number): Option => [`${number}`, `${number}`])]}
        />
      )}
      <Checkbox label={text.exports.prove(hasHeldOut)} isChecked={proves} change={setProves} />
      {running?.error !== undefined && running.model === id && <ErrorNote error={running.error} />}
      <div className="row">
        {isBusy ? (
          <Button onPress={running.cancel}>{text.common.cancel}</Button>
        ) : (
          <Button className="button primary" onPress={start}>
            {text.exports.download}
          </Button>
        )}
        <span role="status" className="small soft grow">
          {isBusy && (running.model === id ? <ExportProgress of={running} proves={proves} /> : text.exports.other)}
        </span>
      </div>
      <Proofs exports={card?.exports ?? []} />
    </Window>
  );
}

/** The approximate size of an export; for GGUF, by bits per weight, or for one file of each. */
function sizeOf(sizes: ExportFormat[], format: Format, bits: Bits): string | undefined {
  const found = sizes.filter(
    (one) => one.format === format && (format !== "gguf" || !bits || String(one.bits) === bits),
  );
  return found.length > 0 ? megabytes(found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)) : undefined;
}

const SECOND_MS = 1000;

/** The progress of an export: the seconds that the server has been writing it, or how much is downloaded. */
function ExportProgress({ of: { since, loaded, total = 0 }, proves }: { of: RunningExport; proves: boolean }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), SECOND_MS);
    return () => clearInterval(timer);
  }, []);
  const doing =
    loaded === undefined
      ? text.exports.preparing(Math.max(0, now - since) / SECOND_MS, proves)
      : text.exports.downloading(megabytes(loaded), megabytes(total));
  return (
    <>
      <span aria-hidden="true">{doing}</span>
      <span className="visually-hidden">
        {loaded === undefined ? text.exports.preparingNow : text.exports.downloadingNow}
      </span>{" "}
      {text.exports.goesOn}
    </>
  );
}

/** How the answers of exports compare with the model's, for the newest export of each format. */
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
