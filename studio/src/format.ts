// Numbers, times and epochs as they are shown.

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

export function loss(value: number | string | undefined): string {
  const number = Number(value);
  if (value === undefined || Number.isNaN(number)) return "–";
  return number < 0.01 && number > 0 ? number.toExponential(1) : number.toFixed(2);
}

/** The pass over the examples that a step belongs to, counted from 1; the API's own epoch counts finished ones. */
export function epochOf(step: number, batchSize: number, examples: number): number {
  return Math.max(1, Math.ceil((step * batchSize) / examples));
}

export const count = (value: number) => value.toLocaleString("en");

export function megabytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
