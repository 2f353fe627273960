import { useState } from "react";
import { Button } from "react-aria-components";
import { idOf, type TunedModel } from "../../api/client";
import { type StoredExample, useHeldOut } from "../../api/examples";
import { commonBeginning } from "../../rows";
import { Icon, SelectField } from "../controls";
import { ScrollRegion } from "../Facts";
import { ErrorNote, Skeleton } from "../Page";
import { text } from "./text";
import { type Asked, type One, useHeldOutAnswers } from "./useHeldOutAnswers";
import { Verdict } from "./Verdict";

const AT_ONCE = 10;
type Order = keyof typeof text.heldOut.orders;

/** Rows that were not learned, with what base and tuned model answer to them. */
export function HeldOutTab({ model }: { model: TunedModel }) {
  const query = useHeldOut(idOf(model.name), true);
  const rows = query.data ?? [];
  const { answers, isRunning, error, ask, stop } = useHeldOutAnswers(model, rows);
  const [order, setOrder] = useState<Order>("given");
  if (query.isPending) return <Skeleton />;
  if (query.isError) return <ErrorNote error={query.error} retry={() => void query.refetch()} />;
  if (rows.length === 0) {
    return (
      <section className="stack" aria-label={text.model.heldOut}>
        <p className="card soft">{text.heldOut.none}</p>
        <Verdict model={model} hasHeldOut={false} />
      </section>
    );
  }
  const asked = answers.filter((answer) => answer !== undefined);
  const next = Math.min(AT_ONCE, rows.length - asked.length);
  return (
    <section className="stack" aria-label={text.model.heldOut}>
      <Verdict model={model} hasHeldOut />
      <p className="soft">{text.heldOut.help}</p>
      {error !== undefined && <ErrorNote error={error} />}
      <div className="row spread">
        <div className="row">
          {isRunning ? (
            <Button onPress={stop}>{text.heldOut.stop}</Button>
          ) : (
            next > 0 &&
            model.state === "ACTIVE" && (
              <Button className="button primary" onPress={() => void ask(next)}>
                {asked.length === 0 ? text.heldOut.ask(next) : text.heldOut.more(next)}
              </Button>
            )
          )}
          {asked.length > 0 && (
            <span role="status">
              {text.heldOut.right(rightOf(asked, "tuned"), rightOf(asked, "base"), asked.length)}
            </span>
          )}
        </div>
        <SelectField label={text.heldOut.order} value={order} isSmall change={(value) => setOrder(value as Order)}>
          {Object.entries(text.heldOut.orders).map(([id, label]) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </SelectField>
      </div>
      <HeldOutTable rows={rows} answers={answers} order={order} />
    </section>
  );
}

const rightOf = (asked: Asked[], who: "tuned" | "base") => asked.filter((answer) => answer[who].isRight).length;

type Props = {
  rows: StoredExample[];
  answers: (Asked | undefined)[];
  order: keyof typeof text.heldOut.orders;
};

const MANY_CHARACTERS = 30; // a shorter beginning is no trouble to read in every row

/** Input, expected, base and tuned answer of each held-out row; what all inputs begin with is shown once. */
function HeldOutTable({ rows, answers, order }: Props) {
  const [seeds] = useState(() => rows.map(() => Math.random()));
  const value = (place: number) => answers[place]?.tuned.likeness;
  const places = [...rows.keys()];
  if (order === "random") places.sort((a, b) => (seeds[a] ?? 0) - (seeds[b] ?? 0));
  if (order === "best") places.sort((a, b) => (value(b) ?? -1) - (value(a) ?? -1));
  if (order === "worst") places.sort((a, b) => (value(a) ?? 2) - (value(b) ?? 2));
  const common = commonBeginning(rows.map(({ textInput }) => textInput));
  const start = common.length < MANY_CHARACTERS ? 0 : common.length;
  return (
    <div className="card flush">
      {start > 0 && (
        <p className="common">
          <span className="soft">{text.heldOut.begins}</span> {common.trim()}
        </p>
      )}
      <ScrollRegion height={620} label={text.model.heldOut}>
        <table className="list held-out">
          <thead>
            <tr>
              <th scope="col">{text.heldOut.input}</th>
              <th scope="col">{text.heldOut.expected}</th>
              <th scope="col">{text.heldOut.base}</th>
              <th scope="col">{text.heldOut.tuned}</th>
            </tr>
          </thead>
          <tbody>
            {places.map((place) => (
              <tr key={place}>
                <td>
                  <div className="clamp four">{rows[place]?.textInput.slice(start)}</div>
                </td>
                <td>
                  <div className="clamp four">{rows[place]?.output}</div>
                </td>
                <AnswerCell one={answers[place]?.base} />
                <AnswerCell one={answers[place]?.tuned} />
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
    </div>
  );
}

function AnswerCell({ one }: { one?: One }) {
  if (!one) return <td className="soft small">{text.heldOut.notAsked}</td>;
  return (
    <td>
      <div className={`judged ${one.isRight ? "right" : ""}`}>
        <Icon name={one.isRight ? "check" : "close"} size={16} />
        <span className="visually-hidden">{one.isRight ? text.heldOut.same : text.heldOut.differs}: </span>
        <div className="clamp four">{one.answer || text.common.empty}</div>
      </div>
    </td>
  );
}
