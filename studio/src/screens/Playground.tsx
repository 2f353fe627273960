import { useState } from "react";
import { Button } from "react-aria-components";
import { useLocation, useSearch } from "wouter";
import { useIsSignedIn, useServerInfo } from "../api/account";
import { Checkbox } from "../components/controls";
import { DEFAULTS, useAnswer } from "../api/answers";
import { Page } from "../components/Page";
import { AnswerPanel } from "../components/playground/AnswerPanel";
import { ModelChoice, useModelNames } from "../components/playground/ModelChoice";
import { HeldOutPicker, PromptBox } from "../components/playground/PromptBox";
import { AnswerCode, RunSettingsForm } from "../components/playground/RunSettings";
import { text } from "../components/playground/text";
import { SignInNote } from "../components/SignIn";

/** Run a prompt on one model, or on two side by side. */
export function Playground() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const names = useModelNames();
  const isSignedIn = useIsSignedIn();
  const isBusy = (useServerInfo().data?.runningTasks ?? 0) > 0;
  const model = search.get("model") ?? names.ready[0]?.name ?? "";
  const other = search.get("with") ?? "";
  const [prompt, setPrompt] = useState("");
  const [expected, setExpected] = useState<string>();
  const [settings, setSettings] = useState(DEFAULTS);
  const [isDiff, setDiff] = useState(false);
  const [first, second] = [useAnswer(), useAnswer()];
  const isRunning = first.isRunning || second.isRunning;
  function choose(changes: Record<string, string>) {
    const next = new URLSearchParams({ model, ...(other && { with: other }), ...changes });
    if (!next.get("with")) next.delete("with");
    go(`/playground?${next}`, { replace: true });
  }
  function run() {
    if (!prompt.trim() || !model) return;
    void first.run(model, prompt, settings);
    if (other) void second.run(other, prompt, settings);
  }
  function stop() {
    first.stop();
    second.stop();
  }
  function ask(next: string, wanted?: string) {
    setPrompt(next);
    setExpected(wanted);
  }
  return (
    <Page title={text.playground.title}>
      {isSignedIn === false && <SignInNote />}
      <div className="columns">
        <div className="stack">
          <div className="halves">
            <ModelChoice
              label={text.playground.model}
              names={names}
              value={model}
              choose={(m) => choose({ model: m })}
            />
            <ModelChoice
              label={text.playground.compare}
              names={names}
              value={other}
              choose={(m) => choose({ with: m })}
              isOptional
            />
          </div>
          <PromptBox model={model} prompt={prompt} change={(next) => ask(next)} run={run} />
          <div className="row">
            <Button className="button primary" onPress={run} isDisabled={!prompt.trim() || !model || isRunning}>
              {text.playground.run}
            </Button>
            {isRunning && <Button onPress={stop}>{text.playground.stop}</Button>}
            <HeldOutPicker model={model} other={other} pick={ask} />
            {other && <Checkbox label={text.playground.diff} isChecked={isDiff} change={setDiff} />}
            <span className="small soft only-wide">{text.playground.keys}</span>
          </div>
          {isBusy && isRunning && <p className="note warn small">{text.playground.busy}</p>}
          {expected !== undefined && (
            <div className="expected">
              <span className="soft small">{text.playground.expected}</span>
              <div>{expected}</div>
            </div>
          )}
          <div className="halves answers">
            <AnswerPanel name={names.titleOf(model)} model={model} prompt={prompt} answer={first} />
            {other && (
              <AnswerPanel
                name={names.titleOf(other)}
                model={other}
                prompt={prompt}
                answer={second}
                against={isDiff ? first.answer : undefined}
              />
            )}
          </div>
        </div>
        <aside className="stack sticky">
          <RunSettingsForm model={model} settings={settings} change={setSettings} />
          {model && <AnswerCode model={model} prompt={prompt || text.playground.placeholder} settings={settings} />}
        </aside>
      </div>
    </Page>
  );
}
