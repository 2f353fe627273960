import { useEffect, useRef, useState } from "react";
import { type Chunk, streamAnswer, type RunSettings } from "../api/answers";

export type Usage = { input: number; output: number; seconds: number; finishReason?: string };
export type Remarks = Pick<Chunk, "promptContract"> & Pick<Chunk["candidates"][number], "labelProbabilities">;
export type Answer = ReturnType<typeof useAnswer>;

/** One answer: started, streamed, stopped; its text so far and what it took. */
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
