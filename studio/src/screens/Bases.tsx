import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { useIsSignedIn, useMe } from "../api/account";
import { type Base, type HubModel, useBaseActions, useBases, useHubSearch } from "../api/bases";
import { idOf } from "../api/client";
import { BaseCard } from "../components/bases/BaseCard";
import { text } from "../components/bases/text";
import { withCode } from "../components/Code";
import { TextInput } from "../components/controls";
import { Confirm } from "../components/dialogs";
import { ErrorNote, Page, QueryState } from "../components/Page";
import { SignInNote } from "../components/SignIn";
import { toast, toastError } from "../components/toasts";

/** The base models: those on this machine, those that can be downloaded, and others by name or path. */
export function Bases() {
  const isSignedIn = useIsSignedIn();
  const isAdmin = useMe().data?.isAdmin === true;
  const query = useBases();
  const actions = useBaseActions();
  const [toRemove, setToRemove] = useState<Base>();
  useArrivals(query.data);
  const remove = (base: Base) =>
    actions.remove.mutate(base.name, {
      onSuccess: ({ bytes }) => toast(text.bases.removed(base.displayName, bytes)),
      onError: toastError,
    });
  const shown = (bases: Base[]) =>
    bases.map((base) => (
      <BaseCard
        key={base.name}
        base={base}
        isAdmin={isAdmin}
        get={() => actions.fetch.mutate(base.name, { onError: toastError })}
        stop={() => actions.stop.mutate(base.name, { onError: toastError })}
        remove={() => setToRemove(base)}
      />
    ));
  const here = (query.data ?? []).filter(({ isPresent }) => isPresent);
  const more = (query.data ?? []).filter(({ isPresent }) => !isPresent);
  return (
    <Page title={text.bases.title}>
      {isSignedIn === false && <SignInNote />}
      {isSignedIn && !isAdmin && <p className="card soft">{text.bases.forAdmins}</p>}
      {query.data ? <p className="help">{text.bases.fitHelp}</p> : <QueryState query={query} />}
      {here.length > 0 && <h2>{text.bases.here}</h2>}
      {shown(here)}
      {isAdmin && <FromHub add={actions.add} />}
      {more.length > 0 && <h2>{text.bases.more}</h2>}
      {shown(more)}
      <Confirm
        isOpen={toRemove !== undefined}
        onClose={() => setToRemove(undefined)}
        title={text.bases.removeTitle(toRemove?.displayName ?? "")}
        body={text.bases.removeBody((toRemove?.dependents ?? []).map((one) => one.displayName || idOf(one.name)))}
        keep={text.common.cancel}
        act={text.bases.remove}
        onAct={() => toRemove && remove(toRemove)}
      />
    </Page>
  );
}

/** Says when a base has arrived, even if it came faster than the first look at its progress. */
function useArrivals(bases: Base[] | undefined) {
  const before = useRef<ReadonlySet<string>>(undefined);
  useEffect(() => {
    if (!bases) return;
    const here = bases.filter(({ isPresent }) => isPresent);
    for (const { name, displayName } of here) {
      if (before.current?.has(name) === false) toast(text.bases.arrived(displayName));
    }
    before.current = new Set(here.map(({ name }) => name));
  }, [bases]);
}

const SOURCE = /^([\w-][\w.-]*\/[\w-][\w.-]*(@[\w./-]+)?|\/.+|[A-Za-z]:[\\/].+)$/; // on the hub, or a path on the server

/** Search of the hub, the name of a model there, or the path of a folder or file on the server. */
function FromHub({ add }: { add: ReturnType<typeof useBaseActions>["add"] }) {
  const [words, setWords] = useState("");
  const search = useHubSearch();
  const isSource = SOURCE.test(words.trim());
  return (
    <form
      className="card stack tight"
      aria-label={text.bases.hub}
      onSubmit={(event) => {
        event.preventDefault();
        if (words.trim()) search.mutate(words.trim());
      }}
    >
      <h2>{text.bases.hub}</h2>
      <div className="row bottom">
        <TextInput
          label={text.bases.words}
          value={words}
          change={setWords}
          maxLength={200}
          className="react-aria-TextField grow"
        />
        <Button type="submit" isDisabled={search.isPending}>
          {text.bases.search}
        </Button>
        <Button isDisabled={!isSource || add.isPending} onPress={() => add.mutate(words.trim())}>
          {text.bases.get}
        </Button>
      </div>
      <p className="help">{withCode(text.bases.wordsHelp)}</p>
      {add.isError && <ErrorNote error={add.error} />}
      {search.isError && <ErrorNote error={search.error} />}
      {search.data && <Found models={search.data} get={(repository) => add.mutate(repository)} />}
    </form>
  );
}

function Found({ models, get }: { models: HubModel[]; get: (repository: string) => void }) {
  if (models.length === 0) return <p role="status">{text.bases.nothing}</p>;
  return (
    <ul className="plain-list" aria-label={text.bases.results}>
      {models.map(({ repository, licence, downloads }) => (
        <li key={repository}>
          <div className="row spread">
            <span>
              {repository}{" "}
              <span className="small soft">
                {[licence, downloads !== undefined && text.bases.downloads(downloads)].filter(Boolean).join(" · ")}
              </span>
            </span>
            <Button
              className="button small-button"
              aria-label={text.bases.named(text.bases.get, repository)}
              onPress={() => get(repository)}
            >
              {text.bases.get}
            </Button>
          </div>
        </li>
      ))}
    </ul>
  );
}
