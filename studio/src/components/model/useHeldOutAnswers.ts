import { useEffect, useRef, useState } from "react";
import { DEFAULTS, wholeAnswer } from "../../api/answers";
import { idOf, maySeeExamples, type TunedModel } from "../../api/client";
import type { StoredExample } from "../../api/examples";
import { type EvaluationReport, useReport } from "../../api/reports";

export type ScoredAnswer = { answer: string; isRight: boolean; likeness: number };
export type AnswerPair = { tuned: ScoredAnswer; base: ScoredAnswer };

const TOGETHER = 2; // rows at a time: four of the six connections that a browser opens to a server
const LEAST_TOKENS = 24;

/** Answers of both models to held-out rows: those of the evaluation, others run a few at a time and kept while the page is open. */
export function useHeldOutAnswers(model: TunedModel, rows: StoredExample[]) {
  const [asked, setAnswers] = useState<(AnswerPair | undefined)[]>([]);
  const { data } = useReport("evaluations", idOf(model.name), maySeeExamples(model)).query;
  const known = evaluated(data?.report, model);
  const answers = rows.map((row, place) => asked[place] ?? known.get(keyOf(row.textInput, row.output)));
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<unknown>();
  const abort = useRef<AbortController>(undefined);
  useEffect(() => () => abort.current?.abort(), []);
  async function run(number: number) {
    const controller = (abort.current = new AbortController());
    setRunning(true);
    setError(undefined);
    try {
      const open = [...rows.keys()].filter((place) => answers[place] === undefined).slice(0, number);
      const runNext = async (): Promise<void> => {
        const place = open.shift();
        const row = place === undefined ? undefined : rows[place];
        if (place === undefined || !row) return;
        const pair = await runBoth(model, row, controller.signal);
        setAnswers((before) => Object.assign([...before], { [place]: pair }));
        return runNext();
      };
      await Promise.all(Array.from({ length: TOGETHER }, runNext));
    } catch (problem) {
      if (!controller.signal.aborted) setError(problem);
    } finally {
      setRunning(false);
    }
  }
  return { answers, isRunning, error, run, stop: () => abort.current?.abort() };
}

const keyOf = (input: string, expected: string) => JSON.stringify([input, expected]);

/** The answers of the last evaluation by row, if it was made with the epoch in use. */
function evaluated(report: EvaluationReport | undefined, model: TunedModel): Map<string, AnswerPair> {
  const isCurrent = report?.servedEpoch === undefined || report.servedEpoch === model.servedEpoch;
  const found = new Map<string, AnswerPair>();
  for (const { textInput, expected, answers } of (isCurrent && report?.answeredRows) || []) {
    const { tuned, base } = answers;
    if (tuned === undefined || base === undefined) continue;
    found.set(keyOf(textInput, expected), { tuned: scored(tuned, expected), base: scored(base, expected) });
  }
  return found;
}

function scored(answer: string, expected: string): ScoredAnswer {
  const isRight = answer.trim() === expected.trim();
  return { answer, isRight, likeness: isRight ? 1 : likeness(answer, expected) };
}

/** Run both models on a row. An answer with more tokens than the expected output has characters is wrong anyway. */
async function runBoth(model: TunedModel, row: StoredExample, signal: AbortSignal): Promise<AnswerPair> {
  const maxOutputTokens = Math.max(LEAST_TOKENS, row.output.length);
  const [tuned, base] = await Promise.all(
    [model.name, `models/${model.baseWeights}`].map((name) =>
      wholeAnswer(name, row.textInput, { ...DEFAULTS, maxOutputTokens }, signal),
    ),
  );
  return { tuned: scored(tuned ?? "", row.output), base: scored(base ?? "", row.output) };
}

/** The share of words that an answer has in common with the expected one (F1), from 0 to 1. */
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
