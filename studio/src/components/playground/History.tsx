import { useState } from "react";
import { Button } from "react-aria-components";
import type { Answer } from "../../api/answers";
import { Ago } from "../Facts";
import { text } from "./text";

/** A prompt that was run, with the answer of each model. */
export type Run = { time: string; prompt: string; answers: { model: string; text: string }[] };

const KEY = "tunery-runs";
const KEPT = 20;
const MAX_CHARACTERS = 4000; // of an answer

/** The last runs of this tab, newest first, and how to add one. */
export function useRuns() {
  const [runs, setRuns] = useState(read);
  function add(prompt: string, answers: readonly Answer[]) {
    const said = answers.map(({ model, text: answer }) => ({ model, text: answer.slice(0, MAX_CHARACTERS) }));
    setRuns((before) => {
      const next = [{ time: new Date().toISOString(), prompt, answers: said }, ...before].slice(0, KEPT);
      keep(next);
      return next;
    });
  }
  function clear() {
    sessionStorage.removeItem(KEY);
    setRuns([]);
  }
  return { runs, add, clear };
}

function read(): Run[] {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "[]") as Run[];
  } catch {
    return [];
  }
}

function keep(runs: Run[]) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(runs));
  } catch {
    sessionStorage.removeItem(KEY); // too large for the tab's storage
  }
}

type Props = { runs: Run[]; titleOf: (model: string) => string; use: (run: Run) => void; clear: () => void };

/** Earlier runs: prompt and answers, which can be run again. */
export function History({ runs, titleOf, use, clear }: Props) {
  if (runs.length === 0) return null;
  return (
    <section className="card stack" aria-labelledby="history">
      <div className="row spread">
        <h2 id="history">{text.playground.history}</h2>
        <Button className="button quiet" onPress={clear}>
          {text.playground.clearHistory}
        </Button>
      </div>
      <ol className="runs">
        {runs.map((run) => (
          <li key={run.time}>
            <div className="row spread nowrap">
              <div dir="auto" className="clamp two">
                {run.prompt}
              </div>
              <Button
                className="button quiet"
                aria-label={text.playground.useRunOf(run.prompt.slice(0, 60))}
                onPress={() => use(run)}
              >
                {text.playground.useRun}
              </Button>
            </div>
            {run.answers.map((answer) => (
              <div key={answer.model} className="small">
                <span className="soft">{titleOf(answer.model)}:</span>{" "}
                <bdi className="said">{answer.text.trim().slice(0, 300) || text.common.empty}</bdi>
              </div>
            ))}
            <div className="small soft">
              <Ago time={run.time} />
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}
