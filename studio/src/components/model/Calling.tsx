import { usePermissions, useRole } from "../../api/account";
import { idOf, type TunedModel } from "../../api/client";
import { useFirstExamples } from "../../api/examples";
import { useWrapping } from "../../api/models";
import { answerSnippets } from "../../snippets";
import { CodeTabs, withCode } from "../Code";
import { ErrorNote } from "../Page";
import { text } from "./text";

/** How the model is called from code, with an input of its own examples. */
export function ApiTab({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const first = useFirstExamples(id, true);
  const isForAll = usePermissions(id).data?.some(({ granteeType }) => granteeType === "EVERYONE") ?? false;
  if (first.isPending) return null;
  const prompt = first.data?.examples?.[0]?.textInput ?? "Hello";
  return (
    <section className="card stack" aria-labelledby="api">
      <h2 id="api">{text.model.api}</h2>
      <p className="soft">
        {withCode(text.api.help)} {isForAll && text.api.everyone}
      </p>
      <CodeTabs snippets={answerSnippets(location.origin, model.name, prompt)} />
    </section>
  );
}

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
