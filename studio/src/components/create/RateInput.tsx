import { Label, Radio, RadioGroup } from "react-aria-components";
import { STANDARD, type Draft } from "../../draft";
import { text } from "../../text/en";
import { NumberInput } from "../NumberInput";

type Props = { draft: Draft; change: (part: Partial<Draft>) => void };

/** The learning rate itself, or a multiplier of the default one; a choice says which. */
export function RateInput({ draft, change }: Props) {
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
        standard={STANDARD[draft.rate]}
      />
    </div>
  );
}
