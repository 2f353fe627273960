import { relativeTime } from "../format";

/** A time as people say it; the exact one on hover and focus. */
export function Ago({ time }: { time: string }) {
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {relativeTime(new Date(time), new Date())}
    </time>
  );
}
