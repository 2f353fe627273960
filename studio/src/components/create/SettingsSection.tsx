import { useState } from "react";
import { Button, FileTrigger, Label, Radio, RadioGroup } from "react-aria-components";
import type { Estimate } from "../../api/examples";
import { type Chosen, type Draft, settingsFrom, settingsOf, DEFAULT_SETTINGS } from "../../draft";
import { durationRange } from "../../format";
import { download } from "../../transfer";
import { Checkbox, Icon, NumberInput, SelectField } from "../controls";
import { Section } from "../Page";
import { toast } from "../toasts";
import { text } from "./text";

type Change = (part: Partial<Draft>) => void;
type SettingsSectionProps = { draft: Draft; change: Change; estimate?: Estimate };

/** Whether to check the result, and settings that most users leave alone: epochs, batch size, learning rate, seed. */
export function SettingsSection({ draft, change, estimate }: SettingsSectionProps) {
  const [isOpen, setOpen] = useState(false);
  const number = (
    name: "epochCount" | "batchSize" | "seed",
    label: string,
    help: string,
    min: number,
    max?: number,
  ) => (
    <NumberInput
      {...{ label, help, min, max }}
      value={draft[name]}
      change={(value) => change({ [name]: value })}
      standard={DEFAULT_SETTINGS[name]}
    />
  );
  return (
    <Section id="settings" number={3} title={text.create.settings}>
      <ResultCheck draft={draft} change={change} estimate={estimate} />
      <SettingsChoice draft={draft} change={change} estimate={estimate} />
      <div className="row spread">
        <span className="soft">{isAmount(draft.holdOut) && text.create.heldOutShort(draft.holdOut)}</span>
        <Button aria-expanded={isOpen} onPress={() => setOpen(!isOpen)}>
          {text.create.advanced} <Icon name={isOpen ? "shut" : "open"} size={14} />
        </Button>
      </div>
      {isOpen && (
        <>
          <div className="halves">
            {draft.settings !== "auto" && (
              <>
                {number("epochCount", text.create.epochs, text.create.epochsHelp, 1, 1000)}
                {number("batchSize", text.create.batch, text.create.batchHelp, 1, 512)}
                <RateInput draft={draft} change={change} />
              </>
            )}
            <HoldOutInput value={draft.holdOut} change={(holdOut) => change({ holdOut })} />
            {number("seed", text.create.seed, text.create.seedHelp, 0)}
            <SelectField
              label={text.create.weightFormat}
              value={draft.weights}
              change={(weights) => change({ weights })}
              help={text.create.weightFormatHelp}
              options={text.create.weightFormats}
            />
          </div>
          <SettingsFile draft={draft} change={change} />
        </>
      )}
    </Section>
  );
}

const isAmount = (holdOut: string) => !["0", DEFAULT_SETTINGS.holdOut].includes(holdOut);

/** One click turns the check of the result on or off; its cost is shown. */
function ResultCheck({ draft, change, estimate }: SettingsSectionProps) {
  const isChecked = draft.holdOut !== "0";
  return (
    <div className="stack tight">
      <Checkbox
        label={text.create.check}
        isChecked={isChecked}
        change={(isWanted) => change({ holdOut: isWanted ? DEFAULT_SETTINGS.holdOut : "0" })}
      />
      <p className="small soft" role="status">
        {isChecked ? checkOf(estimate) : text.create.unchecked}
      </p>
    </div>
  );
}

function checkOf(estimate: Estimate | undefined): string {
  if (!estimate) return text.create.checkHelp;
  const { heldOutCount, exampleCount, foldCount, foldSeconds: time } = estimate;
  if (heldOutCount) return text.create.checkHeldOut(heldOutCount, exampleCount);
  if (foldCount && time) return text.create.checkFolds(foldCount, durationRange(time.atLeast, time.atMost));
  return text.create.checkTooFew;
}

/** The page's values or those of the user, or the ones that the server fits to the examples, with their reason and cost. */
function SettingsChoice({ draft, change, estimate }: SettingsSectionProps) {
  const auto = estimate?.autoSettings;
  const isAuto = draft.settings === "auto";
  return (
    <div className="stack tight">
      <RadioGroup
        className="react-aria-RadioGroup upright"
        value={isAuto ? "auto" : "page"}
        onChange={(settings) => change({ settings: settings as Chosen })}
      >
        <Label>{text.create.choice}</Label>
        <Radio value="page">
          <span>{text.create.choicePage(isStandard(draft), inShort(draft, rateOf(draft)))}</span>
        </Radio>
        <Radio value="auto">
          <span>{text.create.choiceAuto(auto && autoInShort(auto))}</span>
        </Radio>
      </RadioGroup>
      <p className="small soft" role="status">
        {isAuto && auto && [auto.reason, text.create.autoCost(auto.timesSteps, auto.timesTime)].join(" ")}
      </p>
    </div>
  );
}

type Values = Pick<Draft, "epochCount" | "batchSize"> & { labelShare?: number };

const inShort = ({ epochCount, batchSize, labelShare = 0 }: Values, rate: string) =>
  text.create.inShort(epochCount, batchSize, rate) + (labelShare ? ` · ${text.create.lossShort(labelShare)}` : "");

const autoInShort = ({ hyperparameters }: Estimate["autoSettings"]) =>
  inShort(hyperparameters, text.create.rateShort(hyperparameters.learningRate));

const STANDARD = ["epochCount", "batchSize", "rate", "learningRate", "labelShare"] as const;
const isStandard = (draft: Draft) => STANDARD.every((name) => draft[name] === DEFAULT_SETTINGS[name]);

function rateOf(draft: Draft) {
  return draft.rate === "learningRate"
    ? text.create.rateShort(draft.learningRate)
    : text.create.multiplierShort(draft.learningRateMultiplier);
}

type RateInputProps = { draft: Draft; change: Change };

/** The learning rate, or a multiplier of the default one. */
function RateInput({ draft, change }: RateInputProps) {
  const isRate = draft.rate === "learningRate";
  return (
    <div className="stack tight">
      <RadioGroup value={draft.rate} onChange={(rate) => change({ rate: rate as Draft["rate"] })}>
        <Label className="visually-hidden">{text.create.rateChoice}</Label>
        <Radio value="learningRate">{text.create.rate}</Radio>
        <Radio value="learningRateMultiplier">{text.create.multiplier}</Radio>
      </RadioGroup>
      <NumberInput
        label={isRate ? text.create.rate : text.create.multiplier}
        help={isRate ? text.create.rateHelp : text.create.multiplierHelp}
        value={draft[draft.rate]}
        change={(value) => change({ [draft.rate]: value })}
        min={0}
        standard={DEFAULT_SETTINGS[draft.rate]}
      />
    </div>
  );
}

const SHARE = "10%";
const ROWS = 20;

/** Rows to hold out: automatic, none, 10 %, or a number. */
function HoldOutInput({ value, change }: { value: string; change: (value: string) => void }) {
  const values: Record<string, string> = { auto: DEFAULT_SETTINGS.holdOut, off: "0", share: SHARE, rows: String(ROWS) };
  const kind = value.endsWith("%") ? "share" : (Object.keys(values).find((name) => values[name] === value) ?? "rows");
  return (
    <div className="stack tight">
      <SelectField
        label={text.create.holdOut}
        value={kind}
        change={(next) => change(values[next] ?? "0")}
        help={text.create.holdOutHelp}
        options={[
          ["auto", text.create.holdOutAuto],
          ["off", text.create.holdOutOff],
          ["share", text.create.holdOutShare],
          ["rows", text.create.holdOutRows],
        ]}
      />
      {kind === "rows" && (
        <NumberInput
          label={text.create.holdOutCount}
          value={Number(value)}
          change={(rows) => change(String(rows))}
          min={1}
        />
      )}
    </div>
  );
}

/** Save the settings to a file and load them again, without the examples. */
function SettingsFile({ draft, change }: { draft: Draft; change: (part: Partial<Draft>) => void }) {
  async function load(file: File) {
    const found = settingsFrom(
      await file
        .text()
        .then(JSON.parse)
        .catch(() => undefined),
    );
    if (found) change({ ...found, source: draft.source, tunedAgainFrom: draft.tunedAgainFrom });
    else toast(text.create.badSettings, { kind: "bad" });
  }
  return (
    <div className="row">
      <Button
        onPress={() => download("tuning-settings.json", JSON.stringify(settingsOf(draft), null, 2), "application/json")}
      >
        {text.create.saveSettings}
      </Button>
      <FileTrigger
        acceptedFileTypes={[".json", "application/json"]}
        onSelect={(files) => files?.[0] && void load(files[0])}
      >
        <Button>{text.create.loadSettings}</Button>
      </FileTrigger>
    </div>
  );
}
