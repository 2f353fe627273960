// What a journey writes down: each behaviour once, in order, as values that JSON can hold. See record.py.

export const { TUNERY_URL: URL_, TUNERY_TOKEN: TOKEN, TUNERY_KEY: KEY } = process.env;
export const GUIDE_BASE = "models/gemini-1.5-flash-001-tuning";
export const EXAMPLES = [
  ["1", "2"],
  ["3", "4"],
  ["seven", "eight"],
  ["ninety nine", "one hundred"],
].map(([textInput, output]) => ({ textInput, output }));

const outcomes = {};

/** The client refuses by itself, whatever the server could do. */
export class Cannot extends Error {}

/** Run a function now and write down how it ended, under a name. */
export async function behaviour(name, run) {
  const began = Date.now();
  try {
    outcomes[name] = { value: (await run()) ?? null };
  } catch (error) {
    outcomes[name] =
      error instanceof Cannot
        ? { cannot: error.message }
        : { raised: seen(error), traceback: String(error?.stack) };
  }
  outcomes[name].seconds = (Date.now() - began) / 1000;
}

/** Return the exception that a call raises, as its user sees it; null if it raises none. */
export async function errorOf(run) {
  try {
    await run();
  } catch (error) {
    return seen(error);
  }
  return null;
}

function seen(error) {
  return { type: error.constructor.name, code: error.status ?? null, text: String(error.message) };
}

/** Return the JSON of a request that no client stands before. */
export async function raw(path, method = "GET", body = undefined) {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const reply = await fetch(URL_ + path, { method, headers, body: body && JSON.stringify(body) });
  return reply.json();
}

/** Make a tuned model without a client, and wait for it. */
export async function madeModel(displayName) {
  const tuningTask = {
    trainingData: { examples: { examples: EXAMPLES } },
    hyperparameters: { epochCount: 1 },
  };
  const body = { displayName, baseModel: GUIDE_BASE, tuningTask };
  const name = (await raw("/v1beta/tunedModels", "POST", body)).metadata.tunedModel;
  await untilDone(name);
  return name;
}

/** Wait until a tuned model is not CREATING any more; return its state. */
export async function untilDone(name) {
  const giveUp = Date.now() + 300_000;
  let state = "CREATING";
  while (state === "CREATING" && Date.now() < giveUp) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    ({ state } = await raw(`/v1beta/${name}`));
  }
  return state;
}

/** Print what was written down; the last line of every journey. */
export function say() {
  process.stdout.write(JSON.stringify(outcomes));
}
