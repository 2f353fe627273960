import { useState } from "react";
import type { StoredExample } from "../../api/examples";
import type { Asked, One } from "../../hooks/useHeldOutAnswers";
import { commonBeginning } from "../../shape";
import { text } from "../../text/en";
import { Icon } from "../Icon";
import { ScrollRegion } from "../ScrollRegion";

type Props = {
  rows: StoredExample[];
  answers: (Asked | undefined)[];
  order: keyof typeof text.heldOut.orders;
};

const MANY_CHARACTERS = 30; // a shorter beginning is no trouble to read in every row

/** Input, expected, base and tuned answer of each held-out row; what all inputs begin with is shown once. */
export function HeldOutTable({ rows, answers, order }: Props) {
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
        <div className="clamp four">{one.answer || text.grid.empty}</div>
      </div>
    </td>
  );
}
