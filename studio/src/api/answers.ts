// Answers of models, streamed as server-sent events.

import { EventSourceParserStream } from "eventsource-parser/stream";
import { useEffect, useRef, useState } from "react";
import { errorFrom, type Schemas } from "./client";

export type RunSettings = {
  temperature: number;
  topP: number;
  topK: number;
  maxOutputTokens: number;
  stopSequences: string[];
  constrainToTrainingOutputs: boolean; // tuned models only
};
type Chunk = Schemas["GenerateContentOut"];

export const DEFAULTS: RunSettings = {
  temperature: 0,
  topP: 0.95,
  topK: 64,
  maxOutputTokens: 256,
  stopSequences: [],
  constrainToTrainingOutputs: false,
};

/** The settings in the API's form, without unset ones. */
export function generationConfig(
  { stopSequences, constrainToTrainingOutputs, ...rest }: RunSettings,
  model: string,
): Schemas["GenerationConfigIn"] {
  const stops = stopSequences.filter((stop) => stop !== "");
  const isConstrained = constrainToTrainingOutputs && model.startsWith("tunedModels/");
  return {
    ...rest,
    ...(stops.length > 0 && { stopSequences: stops }),
    ...(isConstrained && { constrainToTrainingOutputs }),
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
export type Answer = ReturnType<typeof useAnswer>;

/** An answer that can be started and stopped: its text so far, tokens, time and the server's remarks. */
export function useAnswer() {
  const [answer, setAnswer] = useState("");
  const [usage, setUsage] = useState<Usage>();
  const [remarks, setRemarks] = useState<Remarks>({});
  const [error, setError] = useState<unknown>();
  const [isRunning, setRunning] = useState(false);
  const [wasStopped, setStopped] = useState(false);
  const abort = useRef<AbortController>(undefined);
  useEffect(() => () => abort.current?.abort(), []);

  async function run(model: string, prompt: string, settings: RunSettings) {
    abort.current?.abort();
    const controller = (abort.current = new AbortController());
    const start = performance.now();
    setAnswer("");
    setUsage(undefined);
    setRemarks({});
    setError(undefined);
    setStopped(false);
    setRunning(true);
    try {
      for await (const chunk of streamAnswer(model, prompt, settings, controller.signal)) {
        const candidate = chunk.candidates[0];
        setAnswer((before) => before + (candidate?.content.parts.map((part) => part.text).join("") ?? ""));
        const { promptContract } = chunk;
        const labelProbabilities = candidate?.labelProbabilities;
        setRemarks((before) => ({
          promptContract: promptContract ?? before.promptContract,
          labelProbabilities: labelProbabilities ?? before.labelProbabilities,
        }));
        setUsage({
          input: chunk.usageMetadata?.promptTokenCount ?? 0,
          output: chunk.usageMetadata?.candidatesTokenCount ?? 0,
          seconds: (performance.now() - start) / 1000,
          finishReason: candidate?.finishReason,
        });
      }
    } catch (problem) {
      if (controller.signal.aborted) setStopped(true);
      else setError(problem);
    } finally {
      if (abort.current === controller) setRunning(false);
    }
  }

  return { answer, usage, remarks, error, isRunning, wasStopped, run, stop: () => abort.current?.abort() };
}
