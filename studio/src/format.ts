// Numbers and times as the Studio shows them.

import type { Schemas } from "./api/client";

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

export function relativeTime(time: Date, now: Date): string {
  const seconds = (time.getTime() - now.getTime()) / 1000;
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return "just now";
}

export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** A range of time in one unit: "6–9 min", "0.8–3 min". */
export function durationRange(least: number, most: number): string {
  const to = duration(most);
  const [, unit = "s"] = to.split(" ");
  const from = least / (SECONDS[unit] ?? 1);
  const shown = from < 10 && unit !== "s" ? String(Number(from.toFixed(1))) : String(Math.max(1, Math.round(from)));
  return shown === to.split(" ")[0] ? to : `${shown}–${to}`;
}

const SECONDS: Record<string, number> = { s: 1, min: 60, h: 3600 };

export function loss(value: number | string | undefined): string {
  const number = Number(value);
  if (value === undefined || Number.isNaN(number)) return "–";
  if (number >= 0.01 || number <= 0) return number.toFixed(2);
  return number < 0.0001 ? "< 0.0001" : String(Number(number.toPrecision(2)));
}

export const count = (value: number) => value.toLocaleString("en");

/** A number with its noun: "1 row", "2,000 rows". */
export const counted = (number: number, one: string, many = `${one}s`) =>
  `${count(number)} ${number === 1 ? one : many}`;

export function megabytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** A file size in multiples of 1024: "5.2 MB", "12 kB". */
export function fileSize(bytes: number): string {
  const size = bytes / 2 ** 20;
  return size < 0.1 ? `${Math.max(1, Math.round(bytes / 1024))} kB` : `${Number(size.toFixed(1))} MB`;
}

/** The size of a base model: "135 M parameters". */
export function parameters(number: number | undefined): string {
  if (number === undefined) return "";
  return number < 1e9 ? `${Math.round(number / 1e6)} M parameters` : `${(number / 1e9).toFixed(1)} B parameters`;
}

const LONGEST_WORD = 20; // at which a cut looks for the next word

/** The end of a long text, from the beginning of a word if there is one nearby. */
export function ending(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const end = text.slice(-longest).replace(/^[\udc00-\udfff]/, ""); // half of a character
  const word = end.search(/\s/);
  return `…${word >= 0 && word < LONGEST_WORD ? end.slice(word) : end}`;
}

export const percent = (done: number, total: number) => Math.floor((100 * done) / Math.max(1, total));

/** A share from 0 to 1 in percent. */
export const share = (value: number) => `${Math.round(100 * value)} %`;

export function tookSeconds({ startTime, completeTime }: Schemas["TuningTaskOut"]): number | undefined {
  if (!startTime || !completeTime) return undefined;
  return (Date.parse(completeTime) - Date.parse(startTime)) / 1000;
}
