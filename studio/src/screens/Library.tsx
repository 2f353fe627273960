import { useState } from "react";
import { Input, Label, TextField } from "react-aria-components";
import { Link } from "wouter";
import { useTunedModels } from "../api/models";
import { ErrorNote } from "../components/ErrorNote";
import { LibraryTable } from "../components/LibraryTable";
import { Page } from "../components/Page";
import { text } from "../text/en";

const FILTERS = { mine: "owner:me", shared: "readers:me", everyone: "readers:everyone" } as const;
type Filter = keyof typeof FILTERS;

/** All tuned models, newest first, with what is running on top of mind. */
export function Library() {
  const [filter, setFilter] = useState<Filter>("mine");
  const [words, setWords] = useState("");
  const models = useTunedModels(`${FILTERS[filter]} ${words}`.trim());
  const found = models.data ?? [];
  const isEmpty = models.isSuccess && found.length === 0;
  return (
    <Page
      title={text.library.title}
      actions={
        <Link className="button primary" href="/new">
          {text.nav.create}
        </Link>
      }
    >
      {models.isError && <ErrorNote error={models.error} retry={() => void models.refetch()} />}
      {isEmpty && !words && filter === "mine" ? (
        <Empty />
      ) : (
        <div className="stack">
          <div className="row">
            <TextField value={words} onChange={setWords} style={{ flex: "1 1 240px" }}>
              <Label className="visually-hidden">{text.library.search}</Label>
              <Input placeholder={text.library.search} type="search" />
            </TextField>
            <FilterChips chosen={filter} choose={setFilter} />
          </div>
          {found.length > 0 && <LibraryTable models={found} />}
          {isEmpty && <p className="soft">{text.library.nothing}</p>}
        </div>
      )}
    </Page>
  );
}

function FilterChips({ chosen, choose }: { chosen: Filter; choose: (filter: Filter) => void }) {
  return (
    <div className="row" role="group" aria-label="Filter">
      {(Object.keys(FILTERS) as Filter[]).map((name) => (
        <button
          key={name}
          type="button"
          className="chip"
          aria-pressed={name === chosen}
          onClick={() => choose(name)}
        >
          {text.library.filters[name]}
        </button>
      ))}
    </div>
  );
}

function Empty() {
  return (
    <div className="card empty">
      <h2>{text.library.empty}</h2>
      <p className="soft">{text.library.emptyHelp}</p>
      <div className="row" style={{ justifyContent: "center" }}>
        <Link className="button primary" href="/new">
          {text.nav.create}
        </Link>
        <Link className="button" href="/new?sample=tickets">
          {text.create.sample}
        </Link>
      </div>
    </div>
  );
}
