import { text } from "../../text/en";

export const FILTERS = { mine: "owner:me", shared: "readers:me", everyone: "readers:everyone" } as const;
export type Filter = keyof typeof FILTERS;

/** Whose models are shown. */
export function FilterChips({ chosen, choose }: { chosen: Filter; choose: (filter: Filter) => void }) {
  return (
    <div className="row" role="group" aria-label={text.library.filter}>
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
