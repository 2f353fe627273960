import { useState } from "react";
import { Button } from "react-aria-components";
import { STANDARD, type Draft } from "../../draft";
import { text } from "../../text/en";
import { Icon } from "../Icon";
import { NumberInput } from "../NumberInput";
import { HoldOutInput } from "./HoldOutInput";
import { RateInput } from "./RateInput";
import { Section } from "./Section";
import { SettingsFile } from "./SettingsFile";

type Props = { draft: Draft; change: (part: Partial<Draft>) => void };

/** What most users leave as it is: epochs, batch size, rate, held-out rows, seed. */
export function SettingsSection({ draft, change }: Props) {
  const [isOpen, setOpen] = useState(false);
  return (
    <Section id="settings" number={3} title={text.create.settings}>
      <div className="row spread">
        <span className="soft">
          {text.create.inShort(draft.epochCount, draft.batchSize, rateOf(draft))}
          {draft.holdOut !== "0" && ` · ${text.create.heldOutShort(draft.holdOut)}`}
        </span>
        <Button aria-expanded={isOpen} onPress={() => setOpen(!isOpen)}>
          {text.create.advanced} <Icon name={isOpen ? "shut" : "open"} size={14} />
        </Button>
      </div>
      {isOpen && (
        <>
          <div className="halves">
            <NumberInput
              label={text.create.epochs}
              help={text.create.epochsHelp}
              value={draft.epochCount}
              change={(epochCount) => change({ epochCount })}
              min={1}
              max={1000}
              standard={STANDARD.epochCount}
            />
            <NumberInput
              label={text.create.batch}
              help={text.create.batchHelp}
              value={draft.batchSize}
              change={(batchSize) => change({ batchSize })}
              min={1}
              max={512}
              standard={STANDARD.batchSize}
            />
            <RateInput draft={draft} change={change} />
            <HoldOutInput value={draft.holdOut} change={(holdOut) => change({ holdOut })} />
            <NumberInput
              label={text.create.seed}
              help={text.create.seedHelp}
              value={draft.seed}
              change={(seed) => change({ seed })}
              min={0}
              standard={STANDARD.seed}
            />
          </div>
          <SettingsFile draft={draft} change={change} />
        </>
      )}
    </Section>
  );
}

function rateOf(draft: Draft) {
  return draft.rate === "learningRate"
    ? text.create.rateShort(draft.learningRate)
    : text.create.multiplierShort(draft.learningRateMultiplier);
}
