import type { TunedModel } from "../../api/client";
import { useFirstExamples } from "../../api/examples";
import { idOf } from "../../api/models";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";
import { Skeleton } from "../Skeleton";
import { DataCurve } from "./DataCurve";
import { Examination } from "./Examination";

/** What is doubtful about a model's rows, what more would bring, and the first ones exactly as the base read them. */
export function DataTab({ model }: { model: TunedModel }) {
  return (
    <div className="stack">
      <Examination model={model} />
      <DataCurve model={model} />
      <Seen model={model} />
    </div>
  );
}

function Seen({ model }: { model: TunedModel }) {
  const query = useFirstExamples(idOf(model.name), true, true);
  return (
    <section className="card stack" aria-labelledby="seen">
      <div>
        <h2 id="seen">{text.model.seen}</h2>
        <p className="soft">{text.model.seenHelp}</p>
      </div>
      {query.isPending && <Skeleton />}
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      {query.data?.examples?.map(({ rendered = "", output }, place) => (
        <pre key={place}>
          {rendered.slice(0, rendered.lastIndexOf(output))}
          <mark>{rendered.slice(rendered.lastIndexOf(output))}</mark>
        </pre>
      ))}
    </section>
  );
}
