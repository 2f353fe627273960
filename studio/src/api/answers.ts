// Answers from models, streamed as server-sent events.

import { EventSourceParserStream } from "eventsource-parser/stream";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useIsSignedIn } from "./account";
import { errorFrom, type Schemas, send, useDebounced } from "./client";

export type RunSettings = {
  temperature: number;
  topP: number;
  topK: number;
  maxOutputTokens: number;
  stopSequences: string[];
  constrainToTrainingOutputs: boolean; // tuned models only
  noneBelow: number; // of labels: answer UNSURE if none is this probable; 0 to 1
};
type Chunk = Schemas["GenerateContentOut"];

export const DEFAULTS: RunSettings = {
  temperature: 0,
  topP: 0.95,
  topK: 64,
  maxOutputTokens: 256,
  stopSequences: [],
  constrainToTrainingOutputs: false,
  noneBelow: 0,
};
export const UNSURE = "unsure";

/** The settings in the API's form, without unset ones. */
export function generationConfig(
  { stopSequences, constrainToTrainingOutputs, noneBelow, ...rest }: RunSettings,
  model: string,
): Schemas["GenerationConfigIn"] {
  const stops = stopSequences.filter((stop) => stop !== "");
  const isTuned = model.startsWith("tunedModels/");
  const isConstrained = constrainToTrainingOutputs && isTuned;
  return {
    ...rest,
    ...(stops.length > 0 && { stopSequences: stops }),
    ...(isTuned && { constrainToTrainingOutputs }), // labels are the default, so "any text" has to be stated
    ...(isConstrained && noneBelow > 0 && { noneBelow, noneLabel: UNSURE }),
  };
}

async function* streamAnswer(
  model: string,
  prompt: string,
  settings: RunSettings,
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const reply = await fetch(`/v1beta/${model}:streamGenerateContent?alt=sse`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    credentials: "same-origin",
    body: JSON.stringify({
      contents: [{ role: "user", parts: [{ text: prompt }] }],
      generationConfig: generationConfig(settings, model),
    }),
    signal,
  });
  if (!reply.ok || !reply.body) throw errorFrom(await reply.json().catch(() => undefined), reply.status);
  const events = reply.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  const reader = events.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const chunk = JSON.parse(next.value.data) as Chunk & { error?: unknown };
    if (chunk.error) throw errorFrom(chunk, 500);
    yield chunk;
  }
}

/** The full text of an answer. */
export async function wholeAnswer(
  model: string,
  prompt: string,
  settings: RunSettings,
  signal: AbortSignal,
): Promise<string> {
  let answer = "";
  for await (const chunk of streamAnswer(model, prompt, settings, signal)) {
    answer += chunk.candidates[0]?.content.parts.map((part) => part.text).join("") ?? "";
  }
  return answer;
}

type Usage = { input: number; output: number; seconds: number; finishReason?: string };
export type Remarks = Pick<Chunk, "promptContract"> & Pick<Chunk["candidates"][number], "labelProbabilities">;

/** An answer so far: its text, tokens, time and the server's remarks. */
export type Answer = {
  model: string;
  text: string;
  usage?: Usage;
  remarks: Remarks;
  error?: unknown;
  isRunning: boolean;
  wasStopped: boolean;
  since: number; // milliseconds
};

/** The answers of several models to the same prompt; they can be started and stopped together. */
export function useAnswers() {
  const [answers, setAnswers] = useState<readonly Answer[]>([]);
  const abort = useRef<AbortController>(undefined);
  useEffect(() => () => abort.current?.abort(), []);

  /** Ask all models; returns their answers when the last has ended. */
  async function run(models: readonly string[], prompt: string, settings: RunSettings): Promise<readonly Answer[]> {
    abort.current?.abort();
    const controller = (abort.current = new AbortController());
    const found: Answer[] = models.map((model) => ({
      model,
      text: "",
      remarks: {},
      isRunning: true,
      wasStopped: false,
      since: Date.now(),
    }));
    setAnswers([...found]);
    const note = (place: number, next: Answer) => {
      found[place] = next;
      if (abort.current === controller) setAnswers([...found]);
    };
    await Promise.all(
      models.map((model, place) => ask(model, prompt, settings, controller.signal, (next) => note(place, next))),
    );
    return found;
  }
  const isRunning = answers.some((answer) => answer.isRunning);
  return { answers, isRunning, run, stop: () => abort.current?.abort() };
}

/** The answer of one model. */
export function useAnswer() {
  const { answers, isRunning, run, stop } = useAnswers();
  const [only] = answers;
  return {
    answer: only?.text ?? "",
    error: only?.error,
    isRunning,
    run: (model: string, prompt: string, settings: RunSettings) => run([model], prompt, settings),
    stop,
  };
}

/** Stream one answer; `note` gets it whenever it has grown, and at the end. */
async function ask(
  model: string,
  prompt: string,
  settings: RunSettings,
  signal: AbortSignal,
  note: (answer: Answer) => void,
) {
  let answer: Answer = { model, text: "", remarks: {}, isRunning: true, wasStopped: false, since: Date.now() };
  const change = (part: Partial<Answer>) => note((answer = { ...answer, ...part }));
  try {
    for await (const chunk of streamAnswer(model, prompt, settings, signal)) {
      const candidate = chunk.candidates[0];
      change({
        text: answer.text + (candidate?.content.parts.map((part) => part.text).join("") ?? ""),
        remarks: {
          promptContract: chunk.promptContract ?? answer.remarks.promptContract,
          labelProbabilities: candidate?.labelProbabilities ?? answer.remarks.labelProbabilities,
        },
        usage: {
          input: chunk.usageMetadata?.promptTokenCount ?? 0,
          output: chunk.usageMetadata?.candidatesTokenCount ?? 0,
          seconds: (Date.now() - answer.since) / 1000,
          finishReason: candidate?.finishReason,
        },
      });
    }
    change({ isRunning: false });
  } catch (error) {
    change(signal.aborted ? { isRunning: false, wasStopped: true } : { isRunning: false, error });
  }
}

export type Question =
  | { type: "choice"; instructions?: string; criteria: Record<string, string | null> }
  | { type: "score"; instructions?: string; criteria: string[] }
  | { type: "noul"; instructions?: string };

/** How probable each option is; of a score, each level by its number. */
export type Decision =
  | { type: "choice"; choice: string; confidence: number; probabilities: Record<string, number> }
  | {
      type: "score";
      score: number;
      confidence: number;
      legend: Record<string, string>;
      probabilities: Record<string, number>;
    }
  | { type: "noul"; noul: number };

export const DECIDED = "answer"; // the name of the only question

/** Answer one typed question about a text with probabilities. */
export async function decide(model: string, state: string, question: Question): Promise<Decision> {
  const body = { model, state, questions: { [DECIDED]: question } };
  const { answers } = await send<{ answers: Record<string, Decision> }>("POST", "/v1/systemone", body);
  return answers[DECIDED] as Decision;
}

const TYPING_MS = 600;

/** The tokens of a prompt as a model reads it, with its chat template; undefined until known. */
export function usePromptTokens(model: string, prompt: string): number | undefined {
  const isSignedIn = useIsSignedIn() === true;
  const settled = useDebounced(prompt, TYPING_MS);
  const count = useQuery({
    queryKey: ["tokens", model, settled],
    queryFn: () =>
      send<Schemas["CountTokensOut"]>("POST", `/v1beta/${model}:countTokens`, {
        contents: [{ role: "user", parts: [{ text: settled }] }],
      }),
    enabled: isSignedIn && model !== "" && settled.trim() !== "",
    staleTime: Infinity,
    gcTime: 60_000,
    retry: false,
  });
  return settled === prompt ? count.data?.totalTokens : undefined;
}
