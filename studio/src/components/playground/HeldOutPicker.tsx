import { useState } from "react";
import { Button } from "react-aria-components";
import { useHeldOut } from "../../api/examples";
import { idOf } from "../../api/models";
import { useOffers } from "../../api/server";
import { text } from "../../text/en";

type Props = { model: string; other: string; pick: (prompt: string, expected: string) => void };

/** Takes a row that the tuned model has not learned, then the next one, with what was expected. */
export function HeldOutPicker({ model, other, pick }: Props) {
  const tuned = [model, other].find((name) => name.startsWith("tunedModels/")) ?? "";
  const hasExamples = useOffers("tunedModels.examples");
  const rows = useHeldOut(idOf(tuned), tuned !== "" && hasExamples).data ?? [];
  const [place, setPlace] = useState(-1);
  if (rows.length === 0) return null;
  return (
    <Button
      onPress={() => {
        const next = (place + 1) % rows.length;
        const row = rows[next];
        setPlace(next);
        if (row) pick(row.textInput, row.output);
      }}
    >
      {place < 0 ? text.playground.heldOut : text.playground.next}
    </Button>
  );
}
