import { diffWords } from "diff";
import { text } from "../../text/en";

/** A text with what it adds to another marked, and what it leaves out struck. */
export function WordDiff({ before, after }: { before: string; after: string }) {
  return (
    <>
      {diffWords(before, after).map(({ value, added, removed }, place) =>
        added ? <ins key={place}>{value}</ins> : removed ? <del key={place}>{value}</del> : value,
      )}
      <div className="small soft gap-top">{text.playground.diffLegend}</div>
    </>
  );
}
