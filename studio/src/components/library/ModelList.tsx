import { useState } from "react";
import { Button, Input, Label, MenuTrigger, SearchField } from "react-aria-components";
import { Link, useLocation } from "wouter";
import { useMe } from "../../api/account";
import { idOf, type TunedModel, useDebounced } from "../../api/client";
import { useDelete, useTunedModels } from "../../api/models";
import { SAMPLE_IDS, SAMPLES } from "../../draftSource";
import { ActionPopover } from "../controls";
import { Confirm } from "../dialogs";
import { ExportDialog } from "../model/ExportDialog";
import { ErrorNote, Skeleton } from "../Page";
import { ShareDialog } from "../ShareDialog";
import { toast, toastError } from "../toasts";
import { ModelTable, type Order, ordered } from "./ModelTable";
import { text } from "./text";

const TYPING_MS = 250;
const NOTHING = {
  mine: text.library.nothing,
  shared: text.library.noneShared,
  everyone: text.library.noneEveryone,
};

/** The tuned models that the user may see, with search, filter, sorting and deletion. */
export function ModelList() {
  const [filter, setFilter] = useState<Filter>("mine");
  const [words, setWords] = useState("");
  const [order, setOrder] = useState<Order>();
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [toDelete, setToDelete] = useState<TunedModel[]>([]);
  const [sharedName, setShared] = useState<string>();
  const [exported, setExported] = useState<TunedModel>();
  const settledWords = useDebounced(words, TYPING_MS);
  const query = useTunedModels(`${FILTERS[filter]} ${settledWords}`.trim());
  const found = useOthers(query.data ?? [], filter);
  const isEmpty = query.isSuccess && !query.isPlaceholderData && found.length === 0;
  if (query.isPending && !query.isError) return <Skeleton />;
  if (isEmpty && !settledWords && filter === "mine" && !words) return <EmptyWithFilters choose={setFilter} />;
  const chosen = found.filter(({ name }) => selected.has(name));
  const shared = found.find(({ name }) => name === sharedName);
  return (
    <div className="stack">
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      <div className="row">
        <SearchField value={words} onChange={setWords} className="grow">
          <Label className="visually-hidden">{text.library.search}</Label>
          <Input placeholder={text.library.search} />
        </SearchField>
        <FilterChips chosen={filter} choose={setFilter} />
      </div>
      {chosen.length > 0 && (
        <div className="row selection">
          <strong>{text.library.selected(chosen.length)}</strong>
          <Button className="button danger" onPress={() => setToDelete(chosen)}>
            {text.library.removeSelected}
          </Button>
        </div>
      )}
      {found.length > 0 && (
        <ModelTable
          models={ordered(found, order)}
          selected={selected}
          select={setSelected}
          order={order}
          sort={setOrder}
          acts={{
            remove: (model) => setToDelete([model]),
            share: ({ name }) => setShared(name),
            exportIt: setExported,
          }}
          showsOwner={filter !== "mine"}
        />
      )}
      {isEmpty && <p className="soft">{settledWords ? text.library.nothing : NOTHING[filter]}</p>}
      {query.hasNextPage && (
        <div className="row center">
          <Button onPress={() => void query.fetchNextPage()} isDisabled={query.isFetchingNextPage}>
            {text.common.more}
          </Button>
        </div>
      )}
      <Removal models={toDelete} close={() => setToDelete([])} />
      {exported && <ExportDialog model={exported} onClose={() => setExported(undefined)} />}
      {shared && <ShareDialog model={shared} onClose={() => setShared(undefined)} />}
    </div>
  );
}

function EmptyWithFilters({ choose }: { choose: (filter: Filter) => void }) {
  return (
    <div className="stack">
      <FilterChips chosen="mine" choose={choose} />
      <EmptyLibrary />
    </div>
  );
}

/** Leave out the user's own models under "Shared with me"; the server's filter includes them. */
function useOthers(models: TunedModel[], filter: Filter): TunedModel[] {
  const me = useMe().data?.user;
  const mine = useTunedModels("owner:me").data ?? [];
  if (filter !== "shared" || !me) return models;
  const own = new Set(mine.map(({ name }) => name));
  return models.filter(({ name }) => !own.has(name));
}

function Removal({ models, close }: { models: TunedModel[]; close: () => void }) {
  const remove = useDelete();
  const [first] = models;
  const isOne = models.length === 1 && first;
  return (
    <Confirm
      isOpen={models.length > 0}
      onClose={close}
      title={isOne ? text.removal.title(first.displayName) : text.library.removeManyTitle(models.length)}
      body={isOne ? text.removal.body : text.library.removeManyText}
      keep={text.common.cancel}
      act={text.common.remove}
      onAct={() =>
        remove.mutate(
          models.map(({ name }) => idOf(name)),
          {
            onSuccess: () => toast(isOne ? text.removal.done(first.displayName) : text.library.removed(models.length)),
            onError: toastError,
          },
        )
      }
    />
  );
}

const FILTERS = { mine: "owner:me", shared: "readers:me", everyone: "readers:everyone" } as const;
type Filter = keyof typeof FILTERS;

/** Chips that choose whose models are shown. */
function FilterChips({ chosen, choose }: { chosen: Filter; choose: (filter: Filter) => void }) {
  return (
    <div className="row" role="group" aria-label={text.library.filter}>
      {(Object.keys(FILTERS) as Filter[]).map((name) => (
        <button key={name} type="button" className="chip" aria-pressed={name === chosen} onClick={() => choose(name)}>
          {text.library.filters[name]}
        </button>
      ))}
    </div>
  );
}

/** What a new user sees: three ways to a first tuned model. */
function EmptyLibrary() {
  const [, go] = useLocation();
  const samples = SAMPLE_IDS.map((id) => ({
    id,
    label: SAMPLES[id].name,
    act: () => go(`/new?sample=${id}`),
  }));
  return (
    <div className="card empty">
      <h2>{text.library.empty}</h2>
      <p className="soft">{text.library.emptyHelp}</p>
      <div className="row center">
        <Link className="button primary" href="/new">
          {text.nav.create}
        </Link>
        <MenuTrigger>
          <Button>{text.library.trySample}</Button>
          <ActionPopover name={text.library.trySample} actions={samples} />
        </MenuTrigger>
        <Link className="button" href="/prompts?import=1">
          {text.library.importPrompt}
        </Link>
      </div>
    </div>
  );
}
