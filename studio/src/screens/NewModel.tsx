import { useEffect, useMemo, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { useLocation, useSearch } from "wouter";
import { useIsSignedIn, useLimits } from "../api/account";
import { idOf, needsSignIn } from "../api/client";
import { useEstimate } from "../api/examples";
import { useBaseModels, useCreate } from "../api/models";
import { DraftOffer } from "../components/create/DraftOffer";
import { EstimateCard, FormProblems, problemsOf } from "../components/create/EstimateCard";
import { ExamplesSection } from "../components/create/ExamplesSection";
import { ModelSection } from "../components/create/ModelSection";
import { SettingsSection } from "../components/create/SettingsSection";
import { text } from "../components/create/text";
import { Confirm } from "../components/dialogs";
import type { GridHandle } from "../components/grid/RowsGrid";
import { ChangedElsewhere, ErrorNote, Page } from "../components/Page";
import { askToSignIn, SignInNote } from "../components/SignIn";
import { toast } from "../components/toasts";
import { type Draft, isEmpty, requestOf, tunable } from "../draft";
import { replaceByDraft, useDraftSource } from "../draftSource";
import { type Filter, refusedRows, rowProblems, withoutRows } from "../rows";
import { useDraft } from "../useDraft";

const SAVING = {
  nothing: "",
  saving: text.create.saving,
  saved: text.create.saved,
  unsaved: text.create.unsaved,
  changedElsewhere: text.create.unsaved,
};

/** A form for examples, model and settings, with an estimate next to it. */
export function NewModel() {
  const [, go] = useLocation();
  const isSignedIn = useIsSignedIn();
  const kept = useDraft(isSignedIn === true);
  const { change } = kept;
  const source = useDraftSource(new URLSearchParams(useSearch()), kept.id, kept.replace);
  const bases = tunable(useBaseModels().data ?? []);
  const draft: Draft = { ...kept.draft, baseModel: kept.draft.baseModel || (bases[0]?.name ?? "") };
  const limits = useLimits();
  const { examples } = kept.draft;
  const [input, output] = [limits.textInputCharacters, limits.outputCharacters];
  const broken = useMemo(
    () => rowProblems(examples, { input, output }).filter((problem) => problem?.isError).length,
    [examples, input, output],
  );
  const canEstimate = isSignedIn === true && draft.examples.length > 0 && broken === 0 && draft.baseModel !== "";
  const { estimate, isCurrent } = useEstimate(
    canEstimate ? requestOf({ ...draft, displayName: draft.displayName.trim() || "estimate" }) : undefined,
  );
  const { error } = estimate;
  const refused = useMemo(() => (canEstimate && isCurrent ? refusedRows(error) : []), [canEstimate, isCurrent, error]);
  const problems = problemsOf(draft, broken, refused.length, limits);
  const create = useCreate();
  const [showsProblems, setShowsProblems] = useState(false); // after the first press of Tune
  const list = useRef<HTMLDivElement>(null);
  const [filter, setFilter] = useState<Filter>({});
  const grid = useRef<GridHandle>(null);
  function show(problem: string) {
    setFilter({ problem });
    grid.current?.focus();
  }

  function tune() {
    setShowsProblems(true);
    if (problems.length > 0) return list.current?.focus();
    if (isSignedIn === false) return askToSignIn(text.signIn.key);
    create.mutate(
      { body: requestOf(draft), id: draft.id },
      {
        onSuccess: (operation) => {
          kept.discard(); // the model has the examples now
          go(`/models/${idOf(operation.metadata.tunedModel)}`);
        },
        onError: (error) => needsSignIn(error) && askToSignIn(text.signIn.ended),
      },
    );
  }
  useTuneKey(tune);
  const beside = (
    <span className="small soft" role="status">
      {SAVING[kept.saving]}
    </span>
  );
  function startOver() {
    kept.discard();
    go("/new", { replace: true });
    toast(text.create.startedOver, { action: { label: text.create.undo, act: () => kept.replace(kept.draft) } });
  }
  return (
    <Page
      title={text.create.title}
      beside={beside}
      actions={!isEmpty(kept.draft) && <StartOver examples={examples.length} act={startOver} />}
    >
      {isSignedIn === false && <SignInNote why={text.signIn.key} />}
      {source.error !== undefined && <ErrorNote error={source.error} />}
      {kept.saving === "changedElsewhere" && (
        <ChangedElsewhere load={() => replaceByDraft(kept.id, kept.replace)} keepAsCopy={kept.keepAsCopy} />
      )}
      {isEmpty(kept.draft) && <DraftOffer />}
      {showsProblems && problems.length > 0 && <FormProblems problems={problems} ref={list} />}
      <div className="columns">
        <div className="stack sections">
          <ExamplesSection
            draft={draft}
            change={change}
            file={source.file}
            estimate={estimate.data}
            refused={refused}
            filter={filter}
            setFilter={setFilter}
            grid={grid}
          />
          <ModelSection draft={draft} change={change} bases={bases} showsProblems={showsProblems} />
          <SettingsSection draft={draft} change={change} estimate={isCurrent ? estimate.data : undefined} />
        </div>
        <EstimateCard
          draft={draft}
          estimate={estimate}
          refused={refused}
          leaveOut={(rows) => change({ examples: withoutRows(examples, new Set(rows.map((row) => row - 1))) })}
          show={show}
          canEstimate={canEstimate}
          tune={tune}
          error={create.error}
          isBusy={create.isPending}
        />
      </div>
    </Page>
  );
}

/** Empties the form, after a question. */
function StartOver({ examples, act }: { examples: number; act: () => void }) {
  const [isAsking, setIsAsking] = useState(false);
  return (
    <>
      <Button className="button quiet" onPress={() => setIsAsking(true)}>
        {text.create.startOver}
      </Button>
      <Confirm
        isOpen={isAsking}
        onClose={() => setIsAsking(false)}
        title={text.create.startOverTitle}
        body={text.create.startOverText(examples)}
        keep={text.create.keepDraft}
        act={text.create.startOver}
        onAct={act}
      />
    </>
  );
}

/** Ctrl+Enter tunes from anywhere in the form except the grid, where it saves a row. */
function useTuneKey(tune: () => void) {
  const latest = useRef(tune);
  useEffect(() => {
    latest.current = tune;
  });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const isTune = event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.defaultPrevented;
      const isInGrid = event.target instanceof Element && event.target.closest("[role=grid], [role=dialog]");
      if (isTune && !isInGrid) latest.current();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}
