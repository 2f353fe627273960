import { useState } from "react";
import { Button } from "react-aria-components";
import { download } from "../../download";
import { requestOf, type Draft } from "../../draft";
import { createSnippets, examplesFile } from "../../snippets";
import { text } from "../../text/en";
import { CodeTabs } from "../CodeTabs";
import { Window } from "../Window";

/** The request of the form as code, and the files that it reads when there are many examples. */
export function RequestCode({ draft }: { draft: Draft }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button className="button quiet" onPress={() => setOpen(true)}>
        {text.common.code}
      </Button>
      {isOpen && (
        <Window title={text.common.code} isOpen isWide onClose={() => setOpen(false)}>
          <CodeTabs snippets={createSnippets(location.origin, requestOf(draft), draft.id)} />
          <div className="row">
            <Button onPress={() => download("examples.jsonl", examplesFile(draft.examples))}>
              {text.common.download} examples.jsonl
            </Button>
            <Button
              onPress={() =>
                download("request.json", JSON.stringify(requestOf(draft), null, 2), "application/json")
              }
            >
              {text.common.download} request.json
            </Button>
          </div>
        </Window>
      )}
    </>
  );
}
