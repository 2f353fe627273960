// The requests of the Studio as code: curl, Python, JavaScript and the command line.

import { DECIDED, DEFAULTS, generationConfig, type Question, type RunSettings } from "./api/answers";
import type { Schemas } from "./api/client";
import type { Example } from "./draft";

export type Snippets = Record<string, string>;

const quote = (value: string) => JSON.stringify(value);
const shell = (value: string) => `'${value.replaceAll("'", "'\\''")}'`;
const TOKEN = 'os.environ["TUNERY_TOKEN"]';
const INLINE_EXAMPLES = 10; // more of them are read from a file

const EXTENSIONS = ["constrainToTrainingOutputs", "noneBelow", "noneLabel"];

/** Code that calls a model. */
export function answerSnippets(
  address: string,
  model: string,
  prompt: string,
  settings: RunSettings = DEFAULTS,
): Snippets {
  const own = changed(settings, model);
  const body = JSON.stringify({
    contents: [{ parts: [{ text: prompt }] }],
    ...(Object.keys(own).length > 0 && { generationConfig: own }),
  });
  // Google's libraries reject unknown fields
  const config = Object.fromEntries(Object.entries(own).filter(([name]) => !EXTENSIONS.includes(name)));
  const hasConfig = Object.keys(config).length > 0;
  return {
    curl: `curl -H "Authorization: Bearer $TUNERY_TOKEN" -H "Content-Type: application/json" \\
  -d ${shell(body)} \\
  ${address}/v1beta/${model}:generateContent`,
    "Python (google-genai)": `import os
from google import genai

client = genai.Client(
    api_key="unused",
    http_options={"base_url": ${quote(address)}, "headers": {"Authorization": "Bearer " + ${TOKEN}}},
)
print(client.models.generate_content(model=${quote(model)}, contents=${quote(prompt)}${hasConfig ? `, config=${python(snake(config))}` : ""}).text)`,
    "Python (google-generativeai)": `import os
import google.generativeai as genai
from google.oauth2.credentials import Credentials

genai.configure(
    credentials=Credentials(${TOKEN}), transport="rest",
    client_options={"api_endpoint": ${quote(address)}},
)
print(genai.GenerativeModel(${quote(model)}).generate_content(${quote(prompt)}${hasConfig ? `, generation_config=${python(snake(config))}` : ""}).text)`,
    OpenAI: `import os
from openai import OpenAI

client = OpenAI(base_url=${quote(`${address}/openai/v1`)}, api_key=${TOKEN})
answer = client.chat.completions.create(
    model=${quote(model)}, messages=[{"role": "user", "content": ${quote(prompt)}}]${openai(config)}
)
print(answer.choices[0].message.content)`,
    Node: `import { GoogleGenAI } from "@google/genai";

const ai = new GoogleGenAI({
  apiKey: "unused",
  httpOptions: { baseUrl: ${quote(address)}, headers: { Authorization: "Bearer " + process.env.TUNERY_TOKEN } },
});
const answer = await ai.models.generateContent({ model: ${quote(model)}, contents: ${quote(prompt)}${hasConfig ? `, config: ${JSON.stringify(config)}` : ""} });
console.log(answer.text);`,
    "Command line": `tunery generate ${model.replace("tunedModels/", "").replace("models/", "")} ${shell(prompt)}${flags(own)}`,
  };
}

/** Code that asks a typed question. */
export function decideSnippets(address: string, model: string, state: string, question: Question): Snippets {
  const questions = { [DECIDED]: question };
  const name = model.replace("tunedModels/", "").replace("models/", "");
  return {
    curl: `curl -H "Authorization: Bearer $TUNERY_TOKEN" -H "Content-Type: application/json" \\
  -d ${shell(JSON.stringify({ model, state, questions }))} \\
  ${address}/v1/systemone`,
    Python: `import tunery

print(tunery.load(${quote(name)}).decide([${quote(state)}], ${python(questions)}))`,
    "Command line": `echo ${shell(JSON.stringify(questions))} > questions.json
tunery decide ${name} ${shell(state)} --questions questions.json`,
  };
}

const HYPERPARAMETERS = {
  settings: "--settings",
  epochCount: "--epochs",
  batchSize: "--batch-size",
  learningRate: "--learning-rate",
  learningRateMultiplier: "--learning-rate-multiplier",
  weights: "--weights",
};

/** Code that creates a tuned model; many examples come from a file. */
export function createSnippets(address: string, request: Schemas["TunedModelIn"], id: string): Snippets {
  const examples = (request.tuningTask?.trainingData?.examples?.examples ?? []) as Example[];
  const isInline = examples.length <= INLINE_EXAMPLES;
  const { hyperparameters = {}, holdOut, seed } = request.tuningTask ?? {};
  const query = id ? `?tunedModelId=${id}` : "";
  const pythonExamples = isInline
    ? `examples = ${python(examples)}`
    : `examples = [json.loads(line) for line in open("examples.jsonl", encoding="utf-8")]
examples = [{"textInput": example["text_input"], "output": example["output"]} for example in examples]`;
  const task = Object.fromEntries(Object.entries(request.tuningTask ?? {}).filter(([name]) => name !== "trainingData"));
  const rest = { ...request, tuningTask: task };
  return {
    curl: isInline
      ? `curl -H "Authorization: Bearer $TUNERY_TOKEN" -H "Content-Type: application/json" \\
  -d ${shell(JSON.stringify(request))} \\
  "${address}/v1beta/tunedModels${query}"`
      : `curl -H "Authorization: Bearer $TUNERY_TOKEN" -H "Content-Type: application/json" \\
  -d @request.json \\
  "${address}/v1beta/tunedModels${query}"`,
    Python: `import json
import os
import urllib.request

${pythonExamples}
request = ${python(rest)}
request["tuningTask"]["trainingData"] = {"examples": {"examples": examples}}
call = urllib.request.Request(
    ${quote(`${address}/v1beta/tunedModels${query}`)},
    data=json.dumps(request).encode(),
    headers={"Authorization": "Bearer " + ${TOKEN}, "Content-Type": "application/json"},
)
print(urllib.request.urlopen(call).read().decode())`,
    "Command line": [
      "tunery tune examples.jsonl",
      `--display-name ${shell(request.displayName ?? "")}`,
      ...(id ? [`--id ${id}`] : []),
      ...(request.baseModel ? [`--base-model ${request.baseModel.replace("models/", "")}`] : []),
      ...Object.entries(HYPERPARAMETERS).flatMap(([name, flag]) =>
        name in hyperparameters ? [`${flag} ${hyperparameters[name as keyof typeof hyperparameters]}`] : [],
      ),
      ...(hyperparameters.labelShare ? ["--settings auto"] : []), // which is where the loss of labels comes from
      ...(holdOut ? [`--hold-out ${holdOut}`] : []),
      `--seed ${seed}`,
    ].join(" \\\n  "),
  };
}

/** The examples as JSON lines, as `tunery tune` and the code of `createSnippets` read them. */
export const examplesFile = (examples: Example[]) =>
  examples.map(({ textInput, output }) => JSON.stringify({ text_input: textInput, output }) + "\n").join("");

function changed(settings: RunSettings, model: string): Record<string, unknown> {
  const standard = generationConfig(DEFAULTS, model) as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(generationConfig(settings, model)).filter(([name, value]) => standard[name] !== value),
  );
}

const snake = (config: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(config).map(([name, value]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );

/** A JSON value as a Python literal. */
function python(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    const inner = Object.entries(value).map(([name, one]) => `${quote(name)}: ${python(one)}`);
    return `{${inner.join(", ")}}`;
  }
  return typeof value === "string" ? quote(value) : String(value);
}

const OPENAI: Record<string, string> = {
  temperature: "temperature",
  topP: "top_p",
  maxOutputTokens: "max_tokens",
  stopSequences: "stop",
};

function openai(config: Record<string, unknown>): string {
  const known = Object.entries(config).filter(([name]) => OPENAI[name]);
  return known.map(([name, value]) => `,\n    ${OPENAI[name]}=${python(value)}`).join("");
}

const FLAGS: Record<string, string> = {
  temperature: "--temperature",
  topP: "--top-p",
  topK: "--top-k",
  maxOutputTokens: "--max-output-tokens",
  constrainToTrainingOutputs: "--constrain-to-training-outputs",
  noneBelow: "--none-below",
};

function flags(config: Record<string, unknown>): string {
  const known = Object.entries(config).filter(([name]) => FLAGS[name]);
  return known.map(([name, value]) => ` ${FLAGS[name]}${value === true ? "" : ` ${String(value)}`}`).join("");
}
