// @google/genai: tuning jobs, models, answers.

import { GoogleGenAI } from "@google/genai";
import { behaviour, Cannot, errorOf, EXAMPLES, GUIDE_BASE, KEY, raw, say, TOKEN, untilDone, URL_ } from "./record.mjs";

function client(apiKey = KEY, token = TOKEN) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return new GoogleGenAI({ apiKey, httpOptions: { baseUrl: URL_, headers } });
}

const ai = client();
const S = {};

function tune(name, config, examples = EXAMPLES) {
  const tuningTask = { trainingData: { examples: { examples } } };
  return ai.tunings.tune({
    baseModel: GUIDE_BASE,
    trainingDataset: { examples: [] },
    config: { tunedModelDisplayName: name, ...config, httpOptions: { extraBody: { tuningTask } } },
  });
}

await behaviour("models.list", async () => {
  const names = [];
  for await (const model of await ai.models.list({ config: { queryBase: true } })) names.push(model.name);
  return names;
});

await behaviour("create.dicts", async () => {
  S.dropped = await errorOf(() =>
    ai.tunings.tune({
      baseModel: GUIDE_BASE,
      trainingDataset: { examples: EXAMPLES },
      config: { tunedModelDisplayName: "dropped", epochCount: 1 },
    }),
  );
  throw new Cannot("the client drops the examples; `extraBody` sends them");
});

await behaviour("errors.dropped", () => S.dropped);

await behaviour("create.extra_body", async () => {
  S.job = await tune("numbers of js", { epochCount: 2, batchSize: 2, learningRate: 0.001 });
  const { data, hyperparameters } = (await raw(`/v1beta/${S.job.name}`)).tuningTask;
  return [S.job.name, S.job.state, data.rows, hyperparameters];
});

await behaviour("progress.state", async () => {
  await untilDone(S.job.name);
  const job = await ai.tunings.get({ name: S.job.name });
  S.name = job.tunedModel.model;
  return [job.state, S.name, job.baseModel];
});

await behaviour("generate.text", async () => {
  const reply = await ai.models.generateContent({ model: S.name, contents: "seven" });
  S.whole = reply.text;
  return { text: reply.text, finish: reply.candidates[0].finishReason, usage: reply.usageMetadata };
});

await behaviour("generate.stream", async () => {
  const pieces = [];
  for await (const chunk of await ai.models.generateContentStream({ model: S.name, contents: "seven" })) {
    pieces.push(chunk.text ?? "");
  }
  return [pieces.length, pieces.join("") === S.whole];
});

await behaviour("count_tokens", async () => {
  const { totalTokens } = await ai.models.countTokens({ model: S.name, contents: "one two" });
  return totalTokens;
});

await behaviour("update", async () => {
  const config = { displayName: "renamed", description: "by JavaScript" };
  const changed = await ai.models.update({ model: S.name, config });
  return [changed.displayName, changed.description];
});

await behaviour("list", async () => {
  const names = [];
  for await (const model of await ai.models.list({ config: { queryBase: false } })) names.push(model.name);
  return names;
});

await behaviour("list.pages", async () => {
  const pager = await ai.models.list({ config: { queryBase: false, pageSize: 1 } });
  const names = [];
  const first = pager.page.length;
  for await (const model of pager) names.push(model.name);
  return [first, names];
});

await behaviour("cancel", async () => {
  const job = await tune("stops", { epochCount: 20000 });
  while (!(await raw(`/v1beta/${job.name}`)).tuningTask.snapshots) await new Promise((go) => setTimeout(go, 100));
  await ai.tunings.cancel({ name: job.name });
  const state = await untilDone(job.name);
  await ai.models.delete({ model: job.name });
  return state;
});

await behaviour("errors.missing", async () => ({
  get: await errorOf(() => ai.tunings.get({ name: "tunedModels/missing" })),
  generate: await errorOf(() => ai.models.generateContent({ model: "tunedModels/missing", contents: "1" })),
  stream: await errorOf(() => ai.models.generateContentStream({ model: "tunedModels/missing", contents: "1" })),
}));

await behaviour("errors.key_only", async () => {
  const anonymous = client(KEY, "");
  return {
    get: await errorOf(() => anonymous.tunings.get({ name: S.name })),
    generate: await errorOf(() => anonymous.models.generateContent({ model: S.name, contents: "1" })),
  };
});

await behaviour("errors.credentials", async () => ({
  token: await errorOf(() => client(KEY, "nobody's").tunings.get({ name: S.name })),
  key: await errorOf(() => client("nobody's", "").models.list()),
}));

await behaviour("delete", async () => {
  await ai.models.delete({ model: S.name });
  return errorOf(() => ai.tunings.get({ name: S.name }));
});

say();
