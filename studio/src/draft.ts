// The form of a new tuned model as a value, and the request made from it.

import type { BaseModel, Schemas, TunedModel } from "./api/client";

export type Example = { textInput: string; output: string };

export type Chosen = "page" | "auto"; // by the defaults of Google's page and what the user enters, or by the server

const DEFAULT_CHOICE: Chosen = "page"; // of a new draft

type Settings = {
  displayName: string;
  id: string;
  description: string;
  baseModel: string; // models/… or tunedModels/…; empty means the first one that can be tuned
  settings: Chosen; // if "auto", epochs, batch size, rate and loss are left to the server
  epochCount: number;
  batchSize: number;
  rate: "learningRate" | "learningRateMultiplier";
  learningRate: number;
  learningRateMultiplier: number;
  labelShare: number; // of the loss of labels
  weights: string; // how the weights of the base are kept while tuning: "auto", "full", "8bit" or "4bit"
  holdOut: string; // "auto" (the server decides how to check the result), "0", a share such as "10%", or a number of rows
  seed: number;
};

type Origin = { source: string; tunedAgainFrom: string }; // the user's name for the data, tunedModels/… or empty

export type Draft = Settings & Origin & { examples: Example[] };

const NO_ORIGIN: Origin = { source: "", tunedAgainFrom: "" };

export const DEFAULT_SETTINGS: Settings = {
  displayName: "",
  id: "",
  description: "",
  baseModel: "",
  settings: DEFAULT_CHOICE,
  epochCount: 5,
  batchSize: 4,
  rate: "learningRate",
  learningRate: 0.001,
  learningRateMultiplier: 1,
  labelShare: 0,
  weights: "auto",
  holdOut: "auto",
  seed: 0,
};

export const EMPTY: Draft = { ...DEFAULT_SETTINGS, ...NO_ORIGIN, examples: [] };

export const isEmpty = (draft: Draft) =>
  draft.examples.length === 0 && draft.displayName === "" && draft.description === "";

/** Whether an ID may be used; without a known pattern the server decides. */
export const isGoodId = (id: string, pattern = ".*") => id === "" || new RegExp(`^(?:${pattern})$`).test(id);

export function requestOf(draft: Draft): Schemas["TunedModelIn"] {
  const { epochCount, batchSize, rate, baseModel, labelShare, weights, tunedAgainFrom } = draft;
  const own = { epochCount, batchSize, [rate]: draft[rate], ...(labelShare && { labelShare }) };
  return {
    displayName: draft.displayName.trim(),
    ...(draft.description && { description: draft.description }),
    ...(baseModel.startsWith("tunedModels/") ? { tunedModelSource: { tunedModel: baseModel } } : { baseModel }),
    ...(tunedAgainFrom && { tunedAgainFrom }),
    tuningTask: {
      hyperparameters: {
        ...(draft.settings === "auto" ? { settings: draft.settings } : own),
        ...(weights !== DEFAULT_SETTINGS.weights && { weights }),
      },
      ...(draft.holdOut !== "0" && { holdOut: draft.holdOut }),
      seed: draft.seed,
      ...(draft.source && { data: { source: draft.source } }),
      // rows of files have other fields, such as their number, which the API would refuse
      trainingData: {
        examples: { examples: draft.examples.map(({ textInput, output }) => ({ textInput, output })) },
      },
    },
  };
}

/** The settings of a draft without its examples, as stored in files and prompts. */
export function settingsOf(draft: Draft): Settings & Origin {
  return Object.fromEntries(
    Object.keys({ ...DEFAULT_SETTINGS, ...NO_ORIGIN }).map((name) => [name, draft[name as keyof Draft]]),
  ) as Settings & Origin;
}

/** The settings in a file or a stored prompt; undefined if there are none. */
export function settingsFrom(value: unknown): Partial<Draft> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const given = value as Record<string, unknown>;
  const known = Object.entries({ ...DEFAULT_SETTINGS, ...NO_ORIGIN }).filter(
    ([name, standard]) => typeof given[name] === typeof standard,
  );
  if (known.length === 0) return undefined;
  const settings = given.settings === "auto" ? "auto" : "page"; // a file from before "auto" has values of its own
  return { ...Object.fromEntries(known.map(([name]) => [name, given[name]])), settings } as Partial<Draft>;
}

const MAX_NAME = 40; // characters

/** The name for the next version of a model: "Tickets 2" after "Tickets", the first that is not taken. */
export function nextName(name: string, taken: readonly string[]): string {
  const [, plain = name, number = "1"] = /^(.*?) (\d{1,4})$/.exec(name) ?? [];
  for (let version = Number(number) + 1; ; version += 1) {
    const next = `${plain.slice(0, MAX_NAME - String(version).length - 1).trimEnd()} ${version}`;
    if (!taken.includes(next)) return next;
  }
}

/** The draft that repeats the tuning of a model, with the values that were chosen for it. */
export function draftAgain(model: TunedModel, examples: Example[]): Draft {
  const { hyperparameters, seed, heldOutRows = 0, data } = model.tuningTask;
  return {
    ...EMPTY,
    ...hyperparameters,
    settings: "page",
    displayName: model.displayName,
    description: model.description ?? "",
    baseModel: model.tunedModelSource?.tunedModel ?? model.baseModel ?? "",
    seed,
    holdOut: model.foldCount ? DEFAULT_SETTINGS.holdOut : String(heldOutRows),
    examples,
    source: data.source,
    tunedAgainFrom: model.name,
  };
}

/** The base models that can be tuned. */
export function tunable(bases: BaseModel[]): BaseModel[] {
  return bases.filter(({ supportedGenerationMethods: methods }) =>
    methods.some((method) => method.startsWith("createTuned")),
  );
}
