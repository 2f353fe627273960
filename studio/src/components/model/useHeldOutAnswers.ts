import { useEffect, useRef, useState } from "react";
import { DEFAULTS, wholeAnswer } from "../../api/answers";
import type { TunedModel } from "../../api/client";
import type { StoredExample } from "../../api/examples";

export type One = { answer: string; isRight: boolean; likeness: number };
export type Asked = { tuned: One; base: One };

const TOGETHER = 2; // rows at a time: four streams of the six that a browser opens to one server
const LEAST_TOKENS = 24;

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
      const open = [...rows.keys()].filter((place) => answers[place] === undefined).slice(0, number);
      const askNext = async (): Promise<void> => {
        const place = open.shift();
        const row = place === undefined ? undefined : rows[place];
        if (place === undefined || !row) return;
        const asked = await askBoth(model, row, controller.signal);
        setAnswers((before) => Object.assign([...before], { [place]: asked }));
        return askNext();
      };
      await Promise.all(Array.from({ length: TOGETHER }, askNext));
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

/** An answer may be as long as what is expected, in tokens as many as that has characters: beyond, it is wrong anyway. */
async function askBoth(model: TunedModel, row: StoredExample, signal: AbortSignal): Promise<Asked> {
  const maxOutputTokens = Math.max(LEAST_TOKENS, row.output.length);
  const [tuned, base] = await Promise.all(
    [model.name, `models/${model.baseWeights}`].map((name) =>
      wholeAnswer(name, row.textInput, { ...DEFAULTS, maxOutputTokens }, signal),
    ),
  );
  return { tuned: judged(tuned ?? "", row.output), base: judged(base ?? "", row.output) };
}

export function likeness(answer: string, expected: string): number {
  const [given, wanted] = [words(answer), words(expected)];
  if (given.length === 0 || wanted.length === 0) return 0;
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of given) {
    const number = left.get(word) ?? 0;
    if (number > 0) {
      left.set(word, number - 1);
      common += 1;
    }
  }
  return (2 * common) / (given.length + wanted.length);
}

const words = (text: string) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
