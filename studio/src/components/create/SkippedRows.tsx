import { Button } from "react-aria-components";
import { count } from "../../format";
import type { Edits } from "../../reading";
import { text } from "./text";

const SHOWN_ROWS = 10;

/** Which rows of the file are left out or were fixed here, and a button that takes the last step back. */
export function SkippedRows({ edits: { skipped, fixed }, undo }: { edits: Edits; undo?: () => void }) {
  const fixedRows = Object.keys(fixed).map(Number);
  const left = skipped.filter((row) => !(row in fixed));
  const sentences = [
    left.length > 0 && text.problems.skipped(left.length, listed(left)),
    fixedRows.length > 0 && text.problems.fixed(fixedRows.length, listed(fixedRows)),
  ].filter((one) => typeof one === "string");
  return (
    <div role="status">
      {sentences.length > 0 && (
        <div className="note small row spread">
          <span>{sentences.join(" ")}</span>
          {undo && (
            <Button className="button quiet small-button" onPress={undo}>
              {text.toast.undo}
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

function listed(rows: number[]): string {
  const sorted = [...rows].sort((one, other) => one - other);
  const shown = sorted.slice(0, SHOWN_ROWS).map(count).join(", ");
  return sorted.length > SHOWN_ROWS ? `${shown} ${text.problems.more(sorted.length - SHOWN_ROWS)}` : shown;
}
