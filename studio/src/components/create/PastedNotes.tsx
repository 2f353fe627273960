import type { Pasted } from "../../transfer";
import { text } from "./text";

const SHOWN_NUMBERS = 10;

/** Notes on pasted rows: column names, incomplete rows, more than two columns. */
export function PastedNotes({ pasted: { rows, header, incomplete, width } }: { pasted: Pasted }) {
  const notes = [
    width > 2 && text.import.wide(width),
    header && text.import.columnNames(header),
    width <= 2 && rows.length > 0 && incomplete.length > 0 && text.import.incomplete(incomplete, SHOWN_NUMBERS),
  ].filter((note) => typeof note === "string");
  return (
    <div role="status">
      {notes.map((note) => (
        <p key={note} className="small soft">
          {note}
        </p>
      ))}
    </div>
  );
}
