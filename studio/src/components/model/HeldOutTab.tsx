import { useState } from "react";
import { Button } from "react-aria-components";
import type { TunedModel } from "../../api/client";
import { useHeldOut } from "../../api/examples";
import { idOf } from "../../api/models";
import { type Asked, useHeldOutAnswers } from "../../hooks/useHeldOutAnswers";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";
import { SelectField } from "../SelectField";
import { Skeleton } from "../Skeleton";
import { HeldOutTable } from "./HeldOutTable";
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
        <SelectField
          label={text.heldOut.order}
          value={order}
          isSmall
          change={(value) => setOrder(value as Order)}
        >
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

const rightOf = (asked: Asked[], who: "tuned" | "base") =>
  asked.filter((answer) => answer[who].isRight).length;
