import { useState } from "react";
import { Button } from "react-aria-components";
import { idOf, maySeeExamples, type TunedModel } from "../../api/client";
import { type StoredExample, useHeldOut } from "../../api/examples";
import { Icon, SelectField } from "../controls";
import { ScrollRegion, Table } from "../Facts";
import { ErrorNote, QueryState } from "../Page";
import { text } from "./text";
import { type AnswerPair, type ScoredAnswer, useHeldOutAnswers } from "./useHeldOutAnswers";

const AT_ONCE = 10;
const HEADS = [[text.heldOut.input], [text.heldOut.expected], [text.heldOut.base], [text.heldOut.tuned]] as const;
type Order = keyof typeof text.heldOut.orders;

/** The held-out rows, with the answers of the base model and the tuned model. */
export function HeldOutTab({ model }: { model: TunedModel }) {
  const maySee = maySeeExamples(model);
  const query = useHeldOut(idOf(model.name), maySee);
  const rows = query.data ?? [];
  const { answers, isRunning, error, run, stop } = useHeldOutAnswers(model, rows);
  const [order, setOrder] = useState<Order>("given");
  if (maySee && !query.data) return <QueryState query={query} />;
  if (rows.length === 0) {
    return (
      <section className="stack" aria-label={text.model.heldOut}>
        <p className="card soft">{maySee ? text.heldOut.none : text.sharing.examplesHidden}</p>
      </section>
    );
  }
  const done = answers.filter((answer) => answer !== undefined);
  const next = Math.min(AT_ONCE, rows.length - done.length);
  return (
    <section className="stack" aria-label={text.model.heldOut}>
      <p className="soft">{text.heldOut.help}</p>
      {error !== undefined && <ErrorNote error={error} />}
      <div className="row spread">
        <div className="row">
          {isRunning ? (
            <Button onPress={stop}>{text.heldOut.stop}</Button>
          ) : (
            next > 0 &&
            model.state === "ACTIVE" && (
              <Button className="button primary" onPress={() => void run(next)}>
                {done.length === 0 ? text.heldOut.run(next) : text.heldOut.more(next)}
              </Button>
            )
          )}
          {done.length > 0 && (
            <span role="status">{text.heldOut.right(rightOf(done, "tuned"), rightOf(done, "base"), done.length)}</span>
          )}
        </div>
        <SelectField
          label={text.heldOut.order}
          value={order}
          isSmall
          change={(value) => setOrder(value as Order)}
          options={Object.entries(text.heldOut.orders)}
        />
      </div>
      <HeldOutTable model={model} rows={rows} answers={answers} order={order} />
    </section>
  );
}

const rightOf = (done: AnswerPair[], who: "tuned" | "base") => done.filter((answer) => answer[who].isRight).length;

type Props = {
  model: TunedModel;
  rows: StoredExample[];
  answers: (AnswerPair | undefined)[];
  order: keyof typeof text.heldOut.orders;
};

const MANY_CHARACTERS = 30; // a shorter beginning is shown in each row

/** Input, expected output and both answers of each held-out row; a long common beginning is shown once. */
function HeldOutTable({ model, rows, answers, order }: Props) {
  const [seeds] = useState(() => rows.map(() => Math.random()));
  const value = (place: number) => answers[place]?.tuned.likeness;
  const places = [...rows.keys()];
  if (order === "random") places.sort((a, b) => (seeds[a] ?? 0) - (seeds[b] ?? 0));
  if (order === "best") places.sort((a, b) => (value(b) ?? -1) - (value(a) ?? -1));
  if (order === "worst") places.sort((a, b) => (value(a) ?? 2) - (value(b) ?? 2));
  const prefix = model.inputPrefix ?? "";
  const isLong = prefix.length >= MANY_CHARACTERS;
  const shown = (input: string) => (isLong && input.startsWith(prefix) ? input.slice(prefix.length) : input);
  return (
    <div className="card flush">
      {isLong && (
        <p className="common">
          <span className="soft">{text.heldOut.begins}</span> {prefix.trim()}
        </p>
      )}
      <ScrollRegion height={620} label={text.heldOut.table}>
        <Table className="held-out" heads={HEADS}>
          <tbody>
            {places.map((place) => (
              <tr key={place}>
                <td>
                  <div dir="auto" className="clamp four">
                    {shown(rows[place]?.textInput ?? "")}
                  </div>
                </td>
                <td>
                  <div dir="auto" className="clamp four">
                    {rows[place]?.output}
                  </div>
                </td>
                <AnswerCell one={answers[place]?.base} />
                <AnswerCell one={answers[place]?.tuned} />
              </tr>
            ))}
          </tbody>
        </Table>
      </ScrollRegion>
    </div>
  );
}

function AnswerCell({ one }: { one?: ScoredAnswer }) {
  if (!one) return <td className="soft small">{text.heldOut.notRun}</td>;
  return (
    <td>
      <div className={`judged ${one.isRight ? "right" : ""}`}>
        <Icon name={one.isRight ? "check" : "close"} size={16} />
        <span className="visually-hidden">{one.isRight ? text.heldOut.same : text.heldOut.differs}: </span>
        <div dir="auto" className="clamp four">
          {one.answer || text.common.empty}
        </div>
      </div>
    </td>
  );
}
