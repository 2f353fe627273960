import { useEffect, useRef, useState } from "react";
import { wholeAnswer } from "../api/answers";
import type { TunedModel } from "../api/client";
import type { StoredExample } from "../api/examples";
import { likeness } from "../likeness";

export type One = { answer: string; isRight: boolean; likeness: number };
export type Asked = { tuned: One; base: One };

/** Answers of base and tuned model to held-out rows, asked a few at a time and kept while the page is open. */
export function useHeldOutAnswers(model: TunedModel, rows: StoredExample[]) {
  const [answers, setAnswers] = useState<(Asked | undefined)[]>([]);
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<unknown>();
  const abort = useRef<AbortController>(undefined);
  useEffect(() => () => abort.current?.abort(), []);
  async function ask(number: number) {
    const controller = (abort.current = new AbortController());
    setRunning(true);
    setError(undefined);
    try {
      const open = [...rows.keys()].filter((place) => answers[place] === undefined);
      for (const place of open.slice(0, number)) {
        const row = rows[place];
        if (!row) continue;
        const [tuned, base] = await Promise.all(
          [model.name, `models/${model.baseWeights}`].map((name) =>
            wholeAnswer(name, row.textInput, controller.signal),
          ),
        );
        const asked = { tuned: judged(tuned ?? "", row.output), base: judged(base ?? "", row.output) };
        setAnswers((before) => Object.assign([...before], { [place]: asked }));
      }
    } catch (problem) {
      if (!controller.signal.aborted) setError(problem);
    } finally {
      setRunning(false);
    }
  }
  return { answers, isRunning, error, ask, stop: () => abort.current?.abort() };
}

function judged(answer: string, expected: string): One {
  const isRight = answer.trim() === expected.trim();
  return { answer, isRight, likeness: isRight ? 1 : likeness(answer, expected) };
}
