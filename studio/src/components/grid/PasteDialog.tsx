import { Button } from "react-aria-components";
import type { Example } from "../../draft";
import { text } from "../../text/en";
import { Window } from "../Window";

const SHOWN = 5;

/** What was pasted from a spreadsheet, before it is added. */
export function PasteDialog({
  examples,
  add,
  onClose,
}: {
  examples: Example[];
  add: () => void;
  onClose: () => void;
}) {
  return (
    <Window title={text.grid.pasteTitle(examples.length)} isOpen onClose={onClose}>
      <table className="list small">
        <thead>
          <tr>
            <th scope="col">{text.grid.input}</th>
            <th scope="col">{text.grid.output}</th>
          </tr>
        </thead>
        <tbody>
          {examples.slice(0, SHOWN).map(({ textInput, output }, place) => (
            <tr key={place}>
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
      {examples.length > SHOWN && (
        <p className="soft small">{text.grid.pasteMore(examples.length - SHOWN)}</p>
      )}
      <div className="row end">
        <Button onPress={onClose}>{text.common.cancel}</Button>
        <Button
          className="button primary"
          onPress={() => {
            add();
            onClose();
          }}
        >
          {text.grid.addRows(examples.length)}
        </Button>
      </div>
    </Window>
  );
}
