import { Button, FileTrigger } from "react-aria-components";
import { evaluationOf } from "../../otherRows";
import { text } from "../../text/en";

/** The way to evaluate on the rows of a file, beside an old model if `tunery rescue` wrote it. */
export function OtherRows({ ask }: { ask: (how: Promise<object>) => void }) {
  return (
    <FileTrigger onSelect={(files) => files?.[0] && ask(evaluationOf(files[0]))}>
      <Button>{text.verdict.otherRows}</Button>
    </FileTrigger>
  );
}
