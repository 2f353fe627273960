import { useCallback, useEffect, useState } from "react";
import { Button, Input, Label, MenuTrigger, SearchField } from "react-aria-components";
import { Link, useLocation, useSearch } from "wouter";
import { useMe } from "../../api/account";
import { idOf, type TunedModel, useDebounced } from "../../api/client";
import { useDelete, useTunedModels } from "../../api/models";
import { SAMPLE_IDS, SAMPLES } from "../../draftSource";
import { ActionPopover } from "../controls";
import { Confirm } from "../dialogs";
import { ImportPrompt } from "../prompts/PromptList";
import { ExportDialog } from "../model/ExportDialog";
import { ErrorNote, Skeleton } from "../Page";
import { ShareDialog } from "../ShareDialog";
import { toast, toastError } from "../toasts";
import { ModelTable, type Order, ordered, orderFrom, orderName } from "./ModelTable";
import { Cancellation, Selection } from "./Selection";
import { text } from "./text";

const TYPING_MS = 250;
const NOTHING = {
  mine: text.library.nothing,
  shared: text.library.noneShared,
  everyone: text.library.noneEveryone,
};

/** The tuned models that the user may see, with search, filter, sorting and deletion. */
export function ModelList() {
  const { view, change } = useView();
  const { filter, order } = view;
  const [words, setWords] = useState(view.words);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [toDelete, setToDelete] = useState<TunedModel[]>([]);
  const [sharedName, setShared] = useState<string>();
  const [exported, setExported] = useState<TunedModel>();
  const [toCancel, setToCancel] = useState<TunedModel[]>([]);
  const settledWords = useDebounced(words, TYPING_MS);
  useEffect(() => change({ words: settledWords }), [change, settledWords]);
  const query = useTunedModels(`${FILTERS[filter]} ${settledWords}`.trim());
  const found = useOthers(query.data ?? [], filter);
  const isEmpty = query.isSuccess && !query.isPlaceholderData && found.length === 0;
  if (query.isPending && !query.isError) return <Skeleton />;
  if (isEmpty && !settledWords && filter === "mine" && !words)
    return <EmptyWithFilters choose={(next) => change({ filter: next })} />;
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
        <FilterChips chosen={filter} choose={(next) => change({ filter: next })} />
      </div>
      {chosen.length > 0 && <Selection models={chosen} cancel={setToCancel} remove={setToDelete} />}
      {found.length > 0 && (
        <ModelTable
          models={ordered(found, order)}
          selected={selected}
          select={setSelected}
          order={order}
          sort={(next) => change({ order: next })}
          acts={{
            remove: (model) => setToDelete([model]),
            share: ({ name }) => setShared(name),
            exportIt: setExported,
            cancel: (model) => setToCancel([model]),
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
      <Cancellation models={toCancel} close={() => setToCancel([])} />
      <Removal models={toDelete} close={() => setToDelete([])} />
      {exported && <ExportDialog model={exported} onClose={() => setExported(undefined)} />}
      {shared && <ShareDialog model={shared} onClose={() => setShared(undefined)} />}
    </div>
  );
}

type View = { filter: Filter; words: string; order: Order };

/** What the list shows. It is kept in the URL, so that it is the same after going back or reloading. */
function useView() {
  const [here, go] = useLocation();
  const search = useSearch();
  const given = new URLSearchParams(search);
  const filter = FILTER_NAMES.find((name) => name === given.get("show")) ?? "mine";
  const view: View = { filter, words: given.get("q") ?? "", order: orderFrom(given.get("sort")) };
  const change = useCallback(
    (part: Partial<View>) => {
      const next = new URLSearchParams(search);
      const put = (name: string, value: string | undefined) => (value ? next.set(name, value) : next.delete(name));
      if (part.words !== undefined) put("q", part.words);
      if (part.filter) put("show", part.filter === "mine" ? undefined : part.filter);
      if (part.order) put("sort", orderName(part.order));
      if (next.toString() !== new URLSearchParams(search).toString()) go(`${here}?${next}`, { replace: true });
    },
    [search, here, go],
  );
  return { view, change };
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
const FILTER_NAMES = Object.keys(FILTERS) as Filter[];

/** Chips that choose whose models are shown. */
function FilterChips({ chosen, choose }: { chosen: Filter; choose: (filter: Filter) => void }) {
  return (
    <div className="row" role="group" aria-label={text.library.filter}>
      {FILTER_NAMES.map((name) => (
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
        <ImportPrompt label={text.library.importPrompt} />
      </div>
    </div>
  );
}
