import { Button } from "react-aria-components";
import type { Example } from "../draft";
import { count } from "../format";
import { text } from "../text/en";
import { ScrollRegion } from "./ScrollRegion";

const SHOWN = 50;

/** The examples that will be tuned on: how many, and the first of them. */
export function ExamplesTable({
  examples,
  source,
  clear,
}: {
  examples: Example[];
  source: string;
  clear: () => void;
}) {
  const unique = new Set(examples.map(({ textInput }) => textInput)).size;
  return (
    <>
      <div className="row spread">
        <div>
          <strong>{count(examples.length)} examples</strong> · {count(unique)} unique inputs · {source}
        </div>
        <Button className="button quiet" onPress={clear}>
          {text.create.another}
        </Button>
      </div>
      <ScrollRegion height={340} label={text.create.examples}>
        <table className="list small">
          <thead>
            <tr>
              <th scope="col">#</th>
              <th scope="col">Input</th>
              <th scope="col">Output</th>
            </tr>
          </thead>
          <tbody>
            {examples.slice(0, SHOWN).map(({ textInput, output }, index) => (
              <tr key={index}>
                <td className="soft">{index + 1}</td>
                <td>
                  <div className="clamp">{textInput}</div>
                </td>
                <td>
                  <div className="clamp">{output}</div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
      {examples.length > SHOWN && <p className="soft small">The first {SHOWN} are shown.</p>}
    </>
  );
}
