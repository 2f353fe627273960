import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "react-aria-components";
import { type Decision, decide, type Question } from "../../api/answers";
import { idOf } from "../../api/client";
import { useTunedModel } from "../../api/models";
import { useCard } from "../../api/reports";
import { decideSnippets } from "../../snippets";
import { CodeTabs } from "../Code";
import { NumberInput, SelectField, TextInput } from "../controls";
import { Window } from "../dialogs";
import { ErrorNote } from "../Page";
import { Bars } from "./AnswerPanel";
import { text } from "./text";

type Kind = Question["type"];
type Props = { model: string; state: string; change: (state: string) => void; below: number };

/** Ask a typed question about a text: how probable is each option? A tuned model is asked for its own labels. */
export function Decide({ model, state, change, below }: Props) {
  const labels = useOwnLabels(model);
  const [kind, setKind] = useState<Kind>("choice");
  const [instructions, setInstructions] = useState("");
  const [typed, setTyped] = useState<string>();
  const [least, setLeast] = useState(below);
  const [isCode, setCode] = useState(false);
  const options = typed ?? labels.join("\n");
  const lines = options.split("\n").filter((line) => line.trim() !== "");
  const question: Question =
    labels.length > 0
      ? { type: "choice", criteria: Object.fromEntries(lines.map((label) => [label, null])) }
      : questionOf(kind, instructions, lines);
  const asking = useMutation({ mutationFn: () => decide(model, state, question) });
  const isComplete = state.trim() !== "" && (question.type === "noul" || options.trim() !== "");
  return (
    <div className="columns">
      <div className="stack">
        <p className="soft">{text.playground.decideHelp}</p>
        <TextInput
          label={text.playground.state}
          value={state}
          change={change}
          area={{ rows: 6, placeholder: text.playground.statePlaceholder }}
        />
        <div className="row">
          <Button
            className="button primary"
            isDisabled={!isComplete || asking.isPending}
            onPress={() => asking.mutate()}
          >
            {text.playground.decide}
          </Button>
          <Button isDisabled={!isComplete} onPress={() => setCode(true)}>
            {text.common.code}
          </Button>
        </div>
        {asking.isError && <ErrorNote error={asking.error} />}
        {asking.data && <Decided decision={asking.data} least={least} />}
      </div>
      <aside className="card stack sticky">
        {labels.length === 0 && (
          <>
            <SelectField
              label={text.playground.kind}
              value={kind}
              change={(next) => setKind(next as Kind)}
              options={Object.entries(text.playground.kinds)}
            />
            <TextInput label={text.playground.question} value={instructions} change={setInstructions} />
          </>
        )}
        {question.type !== "noul" && (
          <TextInput
            label={question.type === "score" ? text.playground.levels : text.playground.options}
            value={options}
            change={setTyped}
            area={{ rows: 5 }}
            help={
              labels.length > 0
                ? text.playground.ownOptions
                : question.type === "score"
                  ? text.playground.levelsHelp
                  : text.playground.optionsHelp
            }
          />
        )}
        {question.type === "choice" && (
          <NumberInput
            label={text.playground.noneBelow(text.playground.noneOfThese)}
            help={text.playground.noneHelp}
            value={least}
            change={setLeast}
            min={0}
            max={100}
            standard={0}
          />
        )}
      </aside>
      {isCode && (
        <Window title={text.common.code} isOpen isWide onClose={() => setCode(false)}>
          <CodeTabs snippets={decideSnippets(location.origin, model, state, question)} />
        </Window>
      )}
    </div>
  );
}

/** The labels that a tuned model can be asked for; none of a base, or of a model tuned on other outputs. */
function useOwnLabels(model: string): readonly string[] {
  const id = model.startsWith("tunedModels/") ? idOf(model) : "";
  const isOfLabels = useTunedModel(id).data?.outputForm === "LABELS";
  const card = useCard(id, isOfLabels).data;
  return (isOfLabels && card?.output_contract?.labels) || [];
}

/** The question that the fields describe; a line is an option, with a description behind a colon, or a level. */
function questionOf(type: Kind, instructions: string, lines: readonly string[]): Question {
  const asked = instructions.trim() ? { instructions: instructions.trim() } : {};
  if (type === "noul") return { type, ...asked };
  if (type === "score") return { type, ...asked, criteria: lines.map((line) => line.trim()) };
  const pairs = lines.map((line): [string, string | null] => {
    const [option = "", ...rest] = line.split(": ");
    return [option.trim(), rest.join(": ").trim() || null];
  });
  return { type, ...asked, criteria: Object.fromEntries(pairs) };
}

/** The answer and a bar for each option, the most probable first; below the threshold, it is none of them. */
function Decided({ decision, least }: { decision: Decision; least: number }) {
  const [answer, bars] = shown(decision, least / 100);
  return (
    <section className="card stack tight" aria-label={text.playground.decision} aria-live="polite">
      <div className="answer short" dir="auto">
        {answer}
      </div>
      <Bars label={text.playground.probabilities} of={bars} />
    </section>
  );
}

function shown(decision: Decision, least: number): [string, (readonly [string, number])[]] {
  if (decision.type === "noul") {
    const bars = [
      [text.playground.yes, decision.noul],
      [text.playground.no, 1 - decision.noul],
    ] as const;
    return [decision.noul >= 0.5 ? text.playground.yes : text.playground.no, [...bars]];
  }
  if (decision.type === "score") {
    const levels = Object.entries(decision.probabilities);
    const named = levels.map(([level, probability]) => [decision.legend[level] ?? level, probability] as const);
    return [text.playground.level(decision.score, levels.length - 1), named];
  }
  const bars = Object.entries(decision.probabilities).sort(([, one], [, other]) => other - one);
  const isSure = (bars[0]?.[1] ?? 0) >= least;
  return [isSure ? decision.choice : text.playground.noneOfThese, bars];
}
