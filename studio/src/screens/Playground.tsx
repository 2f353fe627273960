import { useState } from "react";
import { Button, Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import { useLocation, useSearch } from "wouter";
import { useIsSignedIn, useServerInfo } from "../api/account";
import { Checkbox } from "../components/controls";
import { useAnswers } from "../api/answers";
import { Page } from "../components/Page";
import { AnswerPanel } from "../components/playground/AnswerPanel";
import { Decide } from "../components/playground/Decide";
import { History, type Run, useRuns } from "../components/playground/History";
import { ModelChoice, useModelNames } from "../components/playground/ModelChoice";
import { HeldOutPicker, PromptBox } from "../components/playground/PromptBox";
import { AnswerCode, RunSettingsForm, useRunSettings } from "../components/playground/RunSettings";
import { text } from "../components/playground/text";
import { SignInNote } from "../components/SignIn";

const MAX_OTHERS = 4;
const ANSWER = "answer";
const DECIDE = "decide";

/** Run a prompt on one model, or on several side by side; or ask one for the probability of every option. */
export function Playground() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const names = useModelNames();
  const isSignedIn = useIsSignedIn();
  const isBusy = (useServerInfo().data?.runningTasks ?? 0) > 0;
  const model = search.get("model") ?? names.ready[0]?.name ?? "";
  const others = search.getAll("with").filter(Boolean).slice(0, MAX_OTHERS);
  const models = [model, ...others];
  const below = Math.min(100, Math.max(0, Number(search.get("below")) || 0)); // of the threshold, in percent
  const tab = search.get("tab") === DECIDE ? DECIDE : ANSWER;
  const [prompt, setPrompt] = useState("");
  const [expected, setExpected] = useState<string>();
  const runSettings = useRunSettings(model, below);
  const { settings } = runSettings;
  const [isDiff, setDiff] = useState(false);
  const { answers, isRunning, run: ask, stop } = useAnswers();
  const { runs, add, clear } = useRuns();
  function choose(chosen: string[]) {
    const [first = "", ...rest] = chosen;
    const next = new URLSearchParams({ model: first });
    for (const name of rest) if (name) next.append("with", name);
    if (tab === DECIDE) next.set("tab", tab);
    go(`/playground?${next}`, { replace: true });
  }
  function show(next: string) {
    const kept = new URLSearchParams(search);
    if (next === DECIDE) kept.set("tab", next);
    else kept.delete("tab");
    go(`/playground?${kept}`, { replace: true });
  }
  async function run() {
    if (!prompt.trim() || !model) return;
    const found = await ask(models, prompt, settings);
    if (found.some((answer) => answer.text !== "")) add(prompt, found);
  }
  function fill(next: string, wanted?: string) {
    setPrompt(next);
    setExpected(wanted);
  }
  function use(run: Run) {
    fill(run.prompt);
    choose(run.answers.map((answer) => answer.model));
  }
  const answerOf = (name: string) => answers.find((answer) => answer.model === name);
  return (
    <Page title={text.playground.title}>
      {isSignedIn === false && <SignInNote />}
      <Tabs selectedKey={tab} onSelectionChange={(key) => show(String(key))}>
        <TabList aria-label={text.playground.ways}>
          <Tab id={ANSWER}>{text.playground.answers}</Tab>
          <Tab id={DECIDE}>{text.playground.decides}</Tab>
        </TabList>
        <TabPanel id={DECIDE} className="stack">
          <ModelChoice
            label={text.playground.model}
            names={names}
            value={model}
            choose={(chosen) => choose([chosen, ...others])}
          />
          <Decide key={model} model={model} state={prompt} change={(next) => fill(next)} below={below} />
        </TabPanel>
        <TabPanel id={ANSWER}>
          <div className="columns">
            <div className="stack">
              <div className="halves">
                <ModelChoice
                  label={text.playground.model}
                  names={names}
                  value={model}
                  choose={(chosen) => choose([chosen, ...others])}
                />
                {[...others, ""].slice(0, MAX_OTHERS).map((other, place) => (
                  <ModelChoice
                    key={place}
                    label={place === 0 ? text.playground.compare : text.playground.alsoCompare(place + 2)}
                    names={names}
                    value={other}
                    choose={(chosen) => choose([model, ...others.slice(0, place), chosen, ...others.slice(place + 1)])}
                    isOptional
                  />
                ))}
              </div>
              <PromptBox model={model} prompt={prompt} change={(next) => fill(next)} run={() => void run()} />
              <div className="row">
                <Button
                  className="button primary"
                  onPress={() => void run()}
                  isDisabled={!prompt.trim() || !model || isRunning}
                >
                  {text.playground.run}
                </Button>
                {isRunning && <Button onPress={stop}>{text.playground.stop}</Button>}
                <HeldOutPicker models={models} pick={fill} />
                {others.length > 0 && <Checkbox label={text.playground.diff} isChecked={isDiff} change={setDiff} />}
                <span className="small soft only-wide">{text.playground.keys}</span>
              </div>
              {isBusy && isRunning && <p className="note warn small">{text.playground.busy}</p>}
              {expected !== undefined && (
                <div className="expected">
                  <span className="soft small">{text.playground.expected}</span>
                  <div dir="auto">{expected}</div>
                </div>
              )}
              <div className="halves answers">
                {models.map((name, place) => (
                  <AnswerPanel
                    key={`${place}/${name}`}
                    name={names.titleOf(name)}
                    model={name}
                    prompt={prompt}
                    answer={answerOf(name)}
                    against={isDiff && place > 0 ? answerOf(model)?.text : undefined}
                  />
                ))}
              </div>
              <History runs={runs} titleOf={names.titleOf} use={use} clear={clear} />
            </div>
            <aside className="stack sticky">
              <RunSettingsForm run={runSettings} />
              {model && <AnswerCode model={model} prompt={prompt || text.playground.placeholder} settings={settings} />}
            </aside>
          </div>
        </TabPanel>
      </Tabs>
    </Page>
  );
}
