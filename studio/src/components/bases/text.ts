// Texts of the page of base models.

import type { Schemas } from "../../api/client";
import { count, counted, megabytes, parameters } from "../../format";
import { text as shared } from "../text";

const STAGES: Record<string, string> = {
  ask: "Asking the hub…",
  check: "Checking…",
  unpack: "Unpacking…",
  convert: "Converting…",
};

export const text = {
  ...shared,
  bases: {
    title: "Base models",
    here: "On this machine",
    more: "Available to download",
    forAdmins: "Only administrators can download and remove base models.",
    fitHelp: "A model fits if it needs less memory than is free now. Tight means: only if other programs are closed.",
    badges: { default: "Default", gated: "Terms to accept" },
    gated: (place: string) => `Accept its terms at huggingface.co/${place} first, and start the server with HF_TOKEN.`,
    facts: (size: number | undefined, licence: string, context: number, languages?: string) =>
      [parameters(size), licence, `context ${count(context)} tokens`, languages].filter(Boolean).join(" · "),
    tuning: "Tuning",
    answering: "Answering",
    fit: (name: string, fit: string | undefined, bytes: number, weights?: string) =>
      `${name}: ${FITS[fit ?? ""] ?? "needs"}${inBits(weights)} (${megabytes(bytes)})`,
    size: (bytes: number) => `Download: ${megabytes(bytes)}`,
    about: (bytes: number) => `Download: about ${megabytes(bytes)}`,
    speed: ({ tokensPerSecond, source, scaledFrom = "" }: Schemas["SpeedOut"]) =>
      `Tunes about ${count(twoDigits(tokensPerSecond))} tokens a second here (${SPEEDS[source]?.(scaledFrom) ?? source}).`,
    get: "Get",
    stop: "Stop",
    resume: "Resume",
    again: "Try again",
    remove: "Remove",
    named: (action: string, base: string) => `${action} ${base}`,
    coming: (stage: string, done: number, total: number | undefined) =>
      STAGES[stage] ?? (total ? `${megabytes(done)} of ${megabytes(total)}` : megabytes(done)),
    stopped: (done: number, total: number | undefined) =>
      `Stopped at ${megabytes(done)}${total ? ` of ${megabytes(total)}` : ""}. Nothing that has arrived is lost.`,
    arrived: (name: string) => `${name} is on this machine.`,
    removed: (name: string, bytes: number) => `${name} was removed; ${megabytes(bytes)} are free again.`,
    removeTitle: (name: string) => `Remove ${name}?`,
    removeBody: (models: readonly string[]) =>
      models.length === 0
        ? "You can download it again."
        : `${counted(models.length, "tuned model")} can't answer without it: ${models.slice(0, 5).join(", ")}${models.length > 5 ? ", …" : ""}. They answer again once you have downloaded it again.`,
    hub: "Add a base model",
    words: "Name or path",
    wordsHelp:
      "`OWNER/NAME` on the Hugging Face hub, or part of it to search; or a path on the server, such as `/models/my-base` or `/models/base.gguf`.",
    search: "Search",
    nothing: "The hub has no text model with safetensors and this name.",
    results: "Found on the hub",
    downloads: (downloads: number) => counted(downloads, "download"),
  },
} as const;

const inBits = (weights?: string) => (weights ? ` in ${weights.replace("bit", "")} bits` : "");

const SPEEDS: Record<string, (base: string) => string> = {
  measured: () => "measured",
  scaled: (base) => `estimated from ${base}`,
  guess: () => "a guess from a product measured on this machine",
};

/** The number with its first two digits, the others 0. */
function twoDigits(value: number) {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(value, 1))) - 1);
  return Math.round(value / step) * step;
}

const FITS: Record<string, string> = {
  yes: "fits",
  tight: "tight",
  no: "too large",
};
