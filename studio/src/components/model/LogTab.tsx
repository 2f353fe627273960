import { Button } from "react-aria-components";
import type { TunedModel } from "../../api/client";
import { idOf, isRunning, useLog } from "../../api/models";
import { download } from "../../download";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";
import { ScrollRegion } from "../ScrollRegion";
import { Skeleton } from "../Skeleton";

/** What the job said last. */
export function LogTab({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const query = useLog(id, true, isRunning(model));
  const lines = query.data ?? [];
  return (
    <section className="card stack" aria-labelledby="log">
      <div className="row spread">
        <h2 id="log">{text.model.log}</h2>
        {lines.length > 0 && (
          <Button onPress={() => download(`${id}.log`, lines.join("\n") + "\n")}>
            {text.common.download}
          </Button>
        )}
      </div>
      {query.isPending && <Skeleton />}
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      {query.isSuccess && lines.length === 0 && <p className="soft">{text.model.noLog}</p>}
      {lines.length > 0 && (
        <>
          <p className="soft small">{text.model.logHelp}</p>
          <ScrollRegion height={420} label={text.model.log}>
            <pre>{lines.join("\n")}</pre>
          </ScrollRegion>
        </>
      )}
    </section>
  );
}
