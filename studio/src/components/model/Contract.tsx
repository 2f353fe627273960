import type { TunedModel } from "../../api/client";
import { idOf, useWrapping } from "../../api/models";
import { useRole } from "../../hooks/useRole";
import { text } from "../../text/en";
import { ErrorNote } from "../ErrorNote";

/** What the examples had in common, so what calls should look like; for writers whether plain inputs are wrapped. */
export function Contract({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const wrapping = useWrapping(id);
  const role = useRole(id);
  if (!model.promptContract) return null;
  return (
    <section className="card stack tight" aria-labelledby="contract">
      <h2 id="contract">{text.model.contract}</h2>
      <p>{model.promptContract}</p>
      {model.outputContract && <p>{model.outputContract}</p>}
      {wrapping.isError && <ErrorNote error={wrapping.error} />}
      <label className="row plain">
        <input
          type="checkbox"
          checked={wrapping.isPending ? wrapping.variables : (model.wrapPlainInputs ?? false)}
          disabled={role !== "OWNER" && role !== "WRITER"}
          onChange={({ target }) => wrapping.mutate(target.checked)}
        />
        {text.model.wrap}
      </label>
    </section>
  );
}
