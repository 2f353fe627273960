import { useState } from "react";
import { Button, FileTrigger } from "react-aria-components";
import { evaluationOf } from "../../otherRows";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";

/** The way to evaluate on the rows of a file, beside an old model if `tunery rescue` wrote it. */
export function OtherRows({ ask }: { ask: (how: object) => void }) {
  const [error, setError] = useState<unknown>();
  async function read(file: File) {
    setError(undefined);
    try {
      ask(await evaluationOf(file));
    } catch (reason) {
      setError(reason);
    }
  }
  return (
    <>
      <FileTrigger onSelect={(files) => files?.[0] && void read(files[0])}>
        <Button>{text.verdict.otherRows}</Button>
      </FileTrigger>
      {error !== undefined && <ErrorNote error={error} />}
    </>
  );
}
