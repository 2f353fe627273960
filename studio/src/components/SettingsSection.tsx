import type { Draft } from "../draft";
import { text } from "../text/en";
import { NumberInput } from "./NumberInput";

type Props = { draft: Draft; change: (part: Partial<Draft>) => void };

const HOLD_OUT = [
  ["0", "Off"],
  ["10%", "10 %"],
  ["20%", "20 %"],
] as const;

/** What most users leave as it is: epochs, batch size, rate, held-out rows, seed. */
export function SettingsSection({ draft, change }: Props) {
  return (
    <details className="card">
      <summary>
        {text.create.settings.slice(2)}{" "}
        <span className="soft">
          · {draft.epochCount} epochs · batch size {draft.batchSize} · {rateOf(draft)}
        </span>
      </summary>
      <div className="halves" style={{ marginTop: 16 }}>
        <NumberInput
          label={text.create.epochs}
          help={text.create.epochsHelp}
          value={draft.epochCount}
          change={(epochCount) => change({ epochCount })}
          min={1}
          max={1000}
        />
        <NumberInput
          label={text.create.batch}
          help={text.create.batchHelp}
          value={draft.batchSize}
          change={(batchSize) => change({ batchSize })}
          min={1}
          max={512}
        />
        <RateInput draft={draft} change={change} />
        <label className="field">
          {text.create.holdOut}
          <select
            className="select"
            value={draft.holdOut}
            onChange={(event) => change({ holdOut: event.target.value })}
          >
            {HOLD_OUT.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
          <span className="help" style={{ fontWeight: 400 }}>
            {text.create.holdOutHelp}
          </span>
        </label>
        <NumberInput
          label={text.create.seed}
          help={text.create.seedHelp}
          value={draft.seed}
          change={(seed) => change({ seed })}
          min={0}
        />
      </div>
    </details>
  );
}

function RateInput({ draft, change }: Props) {
  const isRate = draft.rate === "learningRate";
  return (
    <fieldset className="field plain">
      <legend>{text.create.rate}</legend>
      <div className="row">
        {(["learningRate", "learningRateMultiplier"] as const).map((rate) => (
          <label key={rate} className="small">
            <input type="radio" name="rate" checked={draft.rate === rate} onChange={() => change({ rate })} />{" "}
            {rate === "learningRate" ? text.create.rate : text.create.multiplier}
          </label>
        ))}
      </div>
      <NumberInput
        label={isRate ? text.create.rate : text.create.multiplier}
        help={isRate ? text.create.rateHelp : text.create.multiplierHelp}
        value={draft[draft.rate]}
        change={(value) => change({ [draft.rate]: value })}
        min={0}
      />
    </fieldset>
  );
}

function rateOf(draft: Draft) {
  return draft.rate === "learningRate"
    ? `rate ${draft.learningRate}`
    : `rate × ${draft.learningRateMultiplier}`;
}
