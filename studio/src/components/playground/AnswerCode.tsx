import { useState } from "react";
import { Button } from "react-aria-components";
import type { RunSettings } from "../../api/answers";
import { answerSnippets } from "../../snippets";
import { text } from "../../text/en";
import { CodeTabs } from "../CodeTabs";
import { withCode } from "../model/ApiTab";
import { Window } from "../Window";

type Props = { model: string; prompt: string; settings: RunSettings };

/** The question of the playground as code. */
export function AnswerCode({ model, prompt, settings }: Props) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button onPress={() => setOpen(true)}>{text.common.code}</Button>
      {isOpen && (
        <Window title={text.common.code} isOpen isWide onClose={() => setOpen(false)}>
          <p className="soft small">{withCode(text.api.help)}</p>
          <CodeTabs snippets={answerSnippets(location.origin, model, prompt, settings)} />
        </Window>
      )}
    </>
  );
}
