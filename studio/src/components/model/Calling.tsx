import { usePermissions } from "../../api/account";
import { canEdit, idOf, maySeeExamples, type TunedModel } from "../../api/client";
import { useFirstExamples } from "../../api/examples";
import { useWrapping } from "../../api/models";
import { answerSnippets } from "../../snippets";
import { CodeTabs, withCode } from "../Code";
import { Checkbox } from "../controls";
import { ErrorNote } from "../Page";
import { text } from "./text";

/** How to call the model from code, with one of its examples as the input. */
export function ApiTab({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const maySee = maySeeExamples(model);
  const first = useFirstExamples(id, maySee);
  const isForAll = usePermissions(id).data?.some(({ granteeType }) => granteeType === "EVERYONE") ?? false;
  if (maySee && first.isPending) return null;
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

/** The expected form of calls, learned from the examples; writers can turn on wrapping of plain inputs. */
export function Contract({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const wrapping = useWrapping(id);
  if (!model.promptContract) return null;
  return (
    <section className="card stack tight" aria-labelledby="contract">
      <h2 id="contract">{text.model.contract}</h2>
      <p>{model.promptContract}</p>
      {model.outputContract && <p>{model.outputContract}</p>}
      {wrapping.isError && <ErrorNote error={wrapping.error} />}
      <Checkbox
        label={text.model.wrap}
        isChecked={wrapping.isPending ? wrapping.variables : (model.wrapPlainInputs ?? false)}
        isDisabled={!canEdit(model)}
        change={wrapping.mutate}
      />
    </section>
  );
}
