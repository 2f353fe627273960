// An answer as it is made: server-sent events, read until the end or until it is stopped.

import { EventSourceParserStream } from "eventsource-parser/stream";
import { errorFrom, type Schemas } from "./client";

export type RunSettings = { temperature: number; topP: number; maxOutputTokens: number };
export type Chunk = Schemas["GenerateContentOut"];

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
      generationConfig: settings,
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
