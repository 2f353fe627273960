import { idOf, maySeeExamples, type TunedModel } from "../../api/client";
import { useEpochAnswers } from "../../api/examples";
import { isRunning } from "../../api/models";
import { ending } from "../../format";
import { Icon } from "../controls";
import { ScrollRegion, Table } from "../Facts";
import { text } from "./text";

const SHOWN_EPOCHS = 5; // the newest
const LONGEST = 120; // characters of an input, from its end

/** The answers to a few rows after each epoch, next to the expected outputs. */
export function EpochAnswers({ model }: { model: TunedModel }) {
  const query = useEpochAnswers(idOf(model.name), maySeeExamples(model), isRunning(model));
  const { rows = [], epochs = [] } = query.data ?? {};
  if (epochs.length === 0) return null;
  const shown = epochs.slice(-SHOWN_EPOCHS);
  return (
    <section className="card stack" aria-labelledby="epoch-answers">
      <h2 id="epoch-answers">{text.epochAnswers.title}</h2>
      <p className="small soft">
        {model.tuningTask.heldOutRows ? text.epochAnswers.heldOut : text.epochAnswers.learned}
      </p>
      <ScrollRegion label={text.epochAnswers.table}>
        <Table
          className="epoch-answers"
          heads={[
            [text.heldOut.input],
            [text.heldOut.expected],
            ...shown.map(({ epoch }): [string] => [text.epochAnswers.epoch(epoch)]),
          ]}
        >
          <tbody>
            {rows.map(({ textInput, expected }, place) => (
              <tr key={place}>
                <td dir="auto">{ending(textInput, LONGEST)}</td>
                <td dir="auto">{expected}</td>
                {shown.map(({ epoch, answers }) => (
                  <EpochAnswer key={epoch} answer={answers[place] ?? ""} expected={expected} />
                ))}
              </tr>
            ))}
          </tbody>
        </Table>
      </ScrollRegion>
    </section>
  );
}

function EpochAnswer({ answer, expected }: { answer: string; expected: string }) {
  const isRight = answer.trim() === expected.trim();
  return (
    <td dir="auto">
      {answer === "" ? text.verdict.answer(answer) : answer}
      {isRight && (
        <>
          {" "}
          <Icon name="check" size={16} />
          <span className="visually-hidden">{text.verdict.right}</span>
        </>
      )}
    </td>
  );
}
