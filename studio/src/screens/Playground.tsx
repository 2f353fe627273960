import { useState } from "react";
import { Button, Label, TextArea, TextField } from "react-aria-components";
import { useLocation, useSearch } from "wouter";
import { useBaseModels, useTunedModels } from "../api/models";
import type { RunSettings } from "../api/answers";
import { AnswerColumn } from "../components/AnswerColumn";
import { CodeTabs } from "../components/CodeTabs";
import { Page } from "../components/Page";
import { RunSettingsForm } from "../components/RunSettingsForm";
import { useAnswer } from "../useAnswer";
import { answerSnippets } from "../snippets";
import { text } from "../text/en";

const DEFAULTS: RunSettings = { temperature: 0, topP: 1, maxOutputTokens: 256 };

/** Ask one model, or two side by side with the same prompt and settings. */
export function Playground() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const names = useModelNames();
  const model = search.get("model") ?? names[0]?.[0] ?? "";
  const other = search.get("with") ?? "";
  const [prompt, setPrompt] = useState("");
  const [settings, setSettings] = useState(DEFAULTS);
  const [first, second] = [useAnswer(), useAnswer()];
  const isRunning = first.isRunning || second.isRunning;
  function choose(changes: Record<string, string>) {
    const next = new URLSearchParams({ model, ...(other && { with: other }), ...changes });
    if (!next.get("with")) next.delete("with");
    go(`/playground?${next}`, { replace: true });
  }
  function run() {
    if (!prompt || !model) return;
    void first.run(model, prompt, settings);
    if (other) void second.run(other, prompt, settings);
  }
  return (
    <Page title={text.playground.title}>
      <div className="columns">
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            run();
          }}
        >
          <div className="halves">
            <ModelChoice
              label={text.playground.model}
              names={names}
              value={model}
              choose={(m) => choose({ model: m })}
            />
            <ModelChoice
              label={text.playground.compare}
              names={[["", text.playground.none], ...names]}
              value={other}
              choose={(m) => choose({ with: m })}
            />
          </div>
          <TextField
            value={prompt}
            onChange={setPrompt}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
            }}
          >
            <Label>{text.playground.prompt}</Label>
            <TextArea rows={5} />
          </TextField>
          <div className="row">
            <Button type="submit" className="button primary" isDisabled={!prompt || !model || isRunning}>
              {text.playground.run}
            </Button>
            {isRunning && (
              <Button
                onPress={() => {
                  first.stop();
                  second.stop();
                }}
              >
                {text.playground.stop}
              </Button>
            )}
          </div>
          <div className="halves">
            <AnswerColumn name={model} answer={first} />
            {other && <AnswerColumn name={other} answer={second} />}
          </div>
        </form>
        <RunSettingsForm settings={settings} change={setSettings} />
      </div>
      {prompt && model && (
        <details className="card">
          <summary>{text.create.code}</summary>
          <CodeTabs snippets={answerSnippets(location.origin, model, prompt)} />
        </details>
      )}
    </Page>
  );
}

function useModelNames(): [string, string][] {
  const tuned = useTunedModels("readers:me").data ?? [];
  const bases = useBaseModels().data ?? [];
  return [
    ...tuned.filter((m) => m.state === "ACTIVE").map((m): [string, string] => [m.name, m.displayName]),
    ...bases.map((m): [string, string] => [m.name, m.displayName]),
  ];
}

type ChoiceProps = {
  label: string;
  names: [string, string][];
  value: string;
  choose: (name: string) => void;
};

function ModelChoice({ label, names, value, choose }: ChoiceProps) {
  return (
    <label className="field">
      {label}
      <select className="select" value={value} onChange={(event) => choose(event.target.value)}>
        {names.map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}
