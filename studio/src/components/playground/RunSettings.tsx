import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { DEFAULTS, type RunSettings, UNSURE } from "../../api/answers";
import { useTunedModel } from "../../api/models";
import { idOf } from "../../api/client";
import { answerSnippets } from "../../snippets";
import { CodeTabs, withCode } from "../Code";
import { Checkbox, NumberInput, TextInput } from "../controls";
import { Window } from "../dialogs";
import { text } from "./text";

const LABELS = "LABELS";
const MAX_STOPS = 5;
const NUMBERS = [
  { name: "temperature", label: text.playground.temperature, help: text.playground.temperatureHelp, min: 0, max: 2 },
  { name: "topP", label: text.playground.topP, min: 0.01, max: 1 },
  { name: "topK", label: text.playground.topK, help: text.playground.topKHelp, min: 0, max: 1000 },
  { name: "maxOutputTokens", label: text.playground.maxTokens, min: 1, max: 8192 },
] as const;

/** The sampling settings of a model, which start with its defaults and a threshold `below` in percent. */
export function useRunSettings(model: string, below: number) {
  const [settings, change] = useState(DEFAULTS);
  const isTuned = model.startsWith("tunedModels/");
  const tuned = useTunedModel(isTuned ? idOf(model) : "").data;
  const own = isTuned &&
    tuned && {
      temperature: tuned.temperature,
      topP: tuned.topP,
      topK: tuned.topK ?? 0,
      constrainToTrainingOutputs: tuned.outputForm === LABELS, // which shows how probable each label is
    };
  const standard = { ...DEFAULTS, ...own };
  const latest = useRef(standard);
  useEffect(() => {
    latest.current = standard;
  });
  const known = tuned?.name;
  useEffect(() => {
    if (known) change({ ...latest.current, noneBelow: below / 100 }); // the model's defaults, once they are known
  }, [known, below]);
  return { settings, change, standard, outputForm: tuned?.outputForm };
}

type RunSettingsFormProps = { run: ReturnType<typeof useRunSettings> };

/** The fields of the sampling settings. */
export function RunSettingsForm({ run: { settings, change, standard, outputForm } }: RunSettingsFormProps) {
  return (
    <section className="card stack" aria-label={text.playground.settings}>
      <h2>{text.playground.settings}</h2>
      {NUMBERS.map(({ name, ...field }) => (
        <NumberInput
          key={name}
          {...field}
          value={settings[name]}
          change={(value) => change({ ...settings, [name]: value })}
        />
      ))}
      <TextInput
        label={text.playground.stops}
        value={settings.stopSequences.join("\n")}
        change={(value) =>
          change({ ...settings, stopSequences: value === "" ? [] : value.split("\n").slice(0, MAX_STOPS) })
        }
        area={{ rows: 2, className: "react-aria-TextArea short" }}
        help={text.playground.stopsHelp}
      />
      {outputForm !== undefined && outputForm !== "TEXT" && (
        <Checkbox
          label={text.playground.constrain}
          isChecked={settings.constrainToTrainingOutputs}
          change={(constrainToTrainingOutputs) => change({ ...settings, constrainToTrainingOutputs })}
        />
      )}
      {outputForm === LABELS && settings.constrainToTrainingOutputs && (
        <NumberInput
          label={text.playground.unsureBelow(UNSURE)}
          help={text.playground.unsureHelp}
          value={Math.round(settings.noneBelow * 100)}
          change={(percent) => change({ ...settings, noneBelow: percent / 100 })}
          min={0}
          max={100}
          standard={0}
        />
      )}
      <Button className="button quiet" onPress={() => change(standard)}>
        {text.playground.reset}
      </Button>
    </section>
  );
}

type AnswerCodeProps = { model: string; prompt: string; settings: RunSettings };

/** The request of the playground as code. */
export function AnswerCode({ model, prompt, settings }: AnswerCodeProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button onPress={() => setOpen(true)}>{text.common.code}</Button>
      {isOpen && (
        <Window title={text.common.code} isOpen isWide onClose={() => setOpen(false)}>
          <p className="soft small">{withCode(text.api.help)}</p>
          <CodeTabs snippets={answerSnippets(location.origin, model, prompt, settings)} />
        </Window>
      )}
    </>
  );
}
