// Where the draft of a tuned model starts: a sample, a saved draft, a structured prompt, or a model to tune again.

import { useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { takeAside } from "./useDraft";
import { useIsSignedIn } from "./api/account";
import { api, dataOf, maySeeExamples, type TunedModel } from "./api/client";
import { readPrompt, storedExamples } from "./api/examples";
import { type Draft, draftAgain, EMPTY, nextName, settingsFrom } from "./draft";
import { examplesOf } from "./prompt";

type Replace = (draft: Draft, promptId?: string, updateTime?: string) => void;

/**
 * The draft that the address names. It is fetched once and then removed from the address, so that a reload keeps
 * later changes.
 */
export function useDraftSource(search: URLSearchParams, keptId: string, replace: Replace) {
  const [, go] = useLocation();
  const [file, setFile] = useState<File>();
  const [error, setError] = useState<unknown>();
  const isSignedIn = useIsSignedIn();
  const fetchedFor = useRef("");
  useEffect(() => {
    const address = search.toString();
    if (address === "") fetchedFor.current = "";
    if (address === fetchedFor.current || isSignedIn === undefined) return;
    fetchedFor.current = address;
    const fetched = async () => {
      const sample = sampleNamed(search.get("sample"));
      if (sample) setFile(await sampleFile(sample));
      else if (isSignedIn) await replaceFrom(search, keptId, replace);
      go("/new", { replace: true });
    };
    fetched().catch(setError);
  }, [search, keptId, replace, go, isSignedIn]);
  return { file, error };
}

async function replaceFrom(search: URLSearchParams, keptId: string, replace: Replace) {
  const [draftId, promptId, modelId] = ["draft", "prompt", "from"].map((name) => search.get(name));
  if (draftId && draftId !== keptId) await replaceByDraft(draftId, replace);
  if (promptId) replace(await draftOfPrompt(promptId, search.get("plain") !== "1"));
  if (modelId) {
    const again = await draftOfModel(modelId, search.get("fixed") === "1");
    const learningRate = Number(search.get("rate"));
    replace({
      ...again,
      ...(learningRate && { rate: "learningRate", learningRate }),
      ...(search.get("all") === "1" && { holdOut: "0" }),
    });
  }
}

/** Take a draft as the server has it. */
export async function replaceByDraft(id: string, replace: Replace) {
  const prompt = await readPrompt(id);
  const examples = (prompt.rows ?? []).map(({ cells }) => ({
    textInput: cells[0] ?? "",
    output: cells[1] ?? "",
  }));
  replace({ ...EMPTY, ...settingsFrom(prompt.tuning), examples }, id, prompt.updateTime);
}

async function draftOfPrompt(id: string, isLabelled: boolean): Promise<Draft> {
  const prompt = await readPrompt(id);
  const { displayName } = prompt;
  return { ...EMPTY, displayName, source: displayName, examples: examplesOf(prompt, isLabelled) };
}

async function draftOfModel(id: string, isFixed: boolean): Promise<Draft> {
  const path = { model_id: id };
  const model: TunedModel = dataOf(await api.GET("/v1beta/tunedModels/{model_id}", { params: { path } }));
  const again = { ...model, displayName: nextName(model.displayName, await ownNames()) };
  const added = takeAside(id);
  if (!maySeeExamples(model)) return draftAgain(again, added);
  const [learned, heldOut] = await Promise.all([storedExamples(id, false, isFixed), storedExamples(id, true)]);
  return draftAgain(again, [...learned, ...heldOut, ...added]);
}

const MANY = 1000;

async function ownNames(): Promise<string[]> {
  const query = { pageSize: MANY, filter: "owner:me" };
  const { tunedModels = [] } = dataOf(await api.GET("/v1beta/tunedModels", { params: { query } }));
  return tunedModels.map(({ displayName }) => displayName);
}

/** Sample data sets. */
export const SAMPLES = {
  "next-number": { name: "Next number", about: "127 numbers and the one that follows · about 1 minute" },
  tickets: { name: "Ticket labels", about: "144 support tickets, each with a category and a priority" },
  headline: { name: "Headlines", about: "80 short news texts, each with a headline" },
} as const;
type Sample = keyof typeof SAMPLES;
export const SAMPLE_IDS = Object.keys(SAMPLES) as Sample[];

const sampleNamed = (name: string | null): Sample | undefined => SAMPLE_IDS.find((sample) => sample === name);

export async function sampleFile(sample: Sample): Promise<File> {
  const reply = await fetch(`/studio/samples/${sample}.csv`);
  return new File([await reply.blob()], `${sample}.csv`);
}
