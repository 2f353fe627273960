import type { TunedModel } from "../../api/client";
import { useFirstExamples } from "../../api/examples";
import { idOf } from "../../api/models";
import { usePermissions } from "../../api/sharing";
import { answerSnippets } from "../../snippets";
import { text } from "../../text/en";
import { CodeTabs } from "../CodeTabs";

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

/** A sentence with code between back quotes. */
export function withCode(sentence: string) {
  return sentence.split("`").map((part, place) => (place % 2 === 1 ? <code key={place}>{part}</code> : part));
}
