import { useState } from "react";
import { useLocation, useSearch } from "wouter";
import { idOf, useBaseModels, useCreate } from "../api/models";
import { EstimateCard } from "../components/EstimateCard";
import { ExamplesSection } from "../components/ExamplesSection";
import { NameSection } from "../components/NameSection";
import { Page } from "../components/Page";
import { SettingsSection } from "../components/SettingsSection";
import { EMPTY, requestOf, type Draft } from "../draft";
import { text } from "../text/en";

/** Examples, a name, and Tune: one page in three sections with a summary beside it. */
export function NewModel() {
  const [, go] = useLocation();
  const sample = new URLSearchParams(useSearch()).get("sample") ?? undefined;
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const bases = useBaseModels().data ?? [];
  const create = useCreate();
  const change = (part: Partial<Draft>) => setDraft((before) => ({ ...before, ...part }));
  const baseModel = draft.baseModel || (bases[0]?.name ?? "");
  function tune() {
    create.mutate(requestOf({ ...draft, baseModel }), {
      onSuccess: (operation) => go(`/models/${idOf(operation.metadata.tunedModel)}`),
    });
  }
  return (
    <Page title={text.create.title}>
      <div className="columns">
        <div className="stack">
          <ExamplesSection draft={draft} change={change} sample={sample} />
          <NameSection draft={{ ...draft, baseModel }} change={change} bases={bases} />
          <SettingsSection draft={draft} change={change} />
        </div>
        <EstimateCard
          draft={{ ...draft, baseModel }}
          tune={tune}
          error={create.error}
          isBusy={create.isPending}
        />
      </div>
    </Page>
  );
}
