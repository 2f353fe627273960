// @google/generative-ai on a tuned model: ask, stream, count.

import { GoogleGenerativeAI } from "@google/generative-ai";
import { behaviour, errorOf, KEY, madeModel, raw, say, TOKEN, URL_ } from "./record.mjs";

const name = await madeModel("for JavaScript");

function modelOf(model = name, token = TOKEN, key = KEY) {
  const customHeaders = token ? { Authorization: `Bearer ${token}` } : {};
  return new GoogleGenerativeAI(key).getGenerativeModel({ model }, { baseUrl: URL_, customHeaders });
}

const model = modelOf();
const S = {};

await behaviour("generate.text", async () => {
  const { response } = await model.generateContent("seven");
  S.whole = response.text();
  return { text: S.whole, finish: response.candidates[0].finishReason, usage: response.usageMetadata };
});

await behaviour("generate.stream", async () => {
  const { stream, response } = await model.generateContentStream("seven");
  const pieces = [];
  for await (const chunk of stream) pieces.push(chunk.text());
  return [pieces.length, pieces.join("") === S.whole, (await response).text() === S.whole];
});

await behaviour("generate.settings", async () => {
  const generationConfig = { maxOutputTokens: 2, temperature: 0.5, topP: 0.9, topK: 10, stopSequences: ["never"] };
  const contents = [{ role: "user", parts: [{ text: "sev" }, { text: "en" }] }];
  const { response } = await model.generateContent({ contents, generationConfig });
  return response.candidates[0].finishReason;
});

await behaviour("count_tokens", async () => (await model.countTokens("one two")).totalTokens);

await behaviour("errors.missing", async () => ({
  generate: await errorOf(() => modelOf("tunedModels/missing").generateContent("1")),
  stream: await errorOf(() => modelOf("tunedModels/missing").generateContentStream("1")),
}));

await behaviour("errors.key_only", () => errorOf(() => modelOf(name, "").generateContent("1")));

await behaviour("errors.credentials", async () => ({
  token: await errorOf(() => modelOf(name, "nobody's").generateContent("1")),
  key: await errorOf(() => modelOf(name, "", "nobody's").generateContent("1")),
}));

await raw(`/v1beta/${name}`, "DELETE");
say();
