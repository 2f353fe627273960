// An answer as it is made: server-sent events, read until the end or until it is stopped.

import { EventSourceParserStream } from "eventsource-parser/stream";
import { errorFrom, type Schemas } from "./client";

export type RunSettings = {
  temperature: number;
  topP: number;
  topK: number;
  maxOutputTokens: number;
  stopSequences: string[];
  constrainToTrainingOutputs: boolean; // tuned models only
};
export type Chunk = Schemas["GenerateContentOut"];

export const DEFAULTS: RunSettings = {
  temperature: 0,
  topP: 1,
  topK: 0,
  maxOutputTokens: 256,
  stopSequences: [],
  constrainToTrainingOutputs: false,
};

/** The settings as the API takes them for a model: what is not set is left out. */
export function generationConfig(
  { topK, stopSequences, constrainToTrainingOutputs, ...rest }: RunSettings,
  model: string,
): Schemas["GenerationConfigIn"] {
  const stops = stopSequences.filter((stop) => stop !== "");
  const isConstrained = constrainToTrainingOutputs && model.startsWith("tunedModels/");
  return {
    ...rest,
    ...(topK > 0 && { topK }),
    ...(stops.length > 0 && { stopSequences: stops }),
    ...(isConstrained && { constrainToTrainingOutputs }),
  };
}

export async function* streamAnswer(
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

/** The text of a whole answer. */
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
