import { type ReactNode, useId } from "react";
import { Button, Label, ProgressBar } from "react-aria-components";
import { type Base, isComing } from "../../api/bases";
import { percent } from "../../format";
import { text } from "./text";

const BYTES_PER_PARAMETER = 2; // as most of them are stored

type Props = {
  base: Base;
  isAdmin: boolean;
  get: () => void;
  stop: () => void;
  remove: () => void;
};

/** One base: what it is, whether it fits, how far it has come, and what can be done with it. */
export function BaseCard({ base, isAdmin, ...actions }: Props) {
  const id = useId();
  const { isDefault, isGated, isPresent, displayName, goodAt } = base;
  return (
    <article className="card stack tight" aria-labelledby={id}>
      <div className="row spread">
        <h3 id={id} className="row">
          {displayName}
          {isDefault && <span className="badge">{text.bases.badges.default}</span>}
          {isGated && !isPresent && <span className="badge warn">{text.bases.badges.gated}</span>}
        </h3>
        {isAdmin && <Actions base={base} {...actions} />}
      </div>
      <p className="small soft">
        {text.bases.facts(base.parameters, base.licence, base.inputTokenLimit, base.languages)}
      </p>
      {goodAt && <p className="small">{goodAt}</p>}
      <Memory base={base} />
      {base.speed && <p className="small soft">{text.bases.speed(base.speed)}</p>}
      {isGated && !isPresent && base.place && <p className="small soft">{text.bases.gated(base.place)}</p>}
      <Progress base={base} />
    </article>
  );
}

/** What can be done: one button gets, stops, resumes and tries again, so that the focus stays on it. */
function Actions({ base, get, stop, remove }: Omit<Props, "isAdmin">) {
  const { isPresent, download, displayName } = base;
  const isRunning = isComing(base);
  const { get: first, stop: halt, resume, again, remove: removal, named } = text.bases;
  const label = isRunning ? halt : ({ STOPPED: resume, FAILED: again }[download?.state ?? ""] ?? first);
  return (
    <div className="row">
      {!isPresent && (
        <Button
          className={`button${isRunning ? "" : " primary"}`}
          aria-label={named(label, displayName)}
          onPress={isRunning ? stop : get}
        >
          {label}
        </Button>
      )}
      {(isPresent || (download && !isRunning)) && (
        <Button className="button quiet" aria-label={named(removal, displayName)} onPress={remove}>
          {removal}
        </Button>
      )}
    </div>
  );
}

function Memory({ base: { tuning, answering, isPresent, downloadBytes, isOffered, parameters } }: { base: Base }) {
  const needs = [
    [text.bases.tuning, tuning],
    [text.bases.answering, answering],
  ] as const;
  const size = downloadBytes
    ? text.bases.size(downloadBytes)
    : isOffered && parameters && text.bases.about(parameters * BYTES_PER_PARAMETER);
  return (
    <p className="row small">
      {needs.map(
        ([name, need]) =>
          need && (
            <span key={name} className={`badge ${need.fit ? BADGES[need.fit] : ""}`}>
              {text.bases.fit(name, need.fit, need.memoryBytes, need.weights)}
            </span>
          ),
      )}
      {!isPresent && size && <span className="soft">{size}</span>}
    </p>
  );
}

const BADGES: Record<string, string> = { yes: "good", tight: "warn", no: "bad" };

function Progress({ base: { download, displayName } }: { base: Base }): ReactNode {
  if (!download) return null;
  const { state, stage, doneBytes, totalBytes, error } = download;
  if (state === "FAILED")
    return (
      <p className="note bad small limited" role="alert">
        {error}
      </p>
    );
  if (state === "STOPPED") return <p className="small soft">{text.bases.stopped(doneBytes, totalBytes)}</p>;
  const done = totalBytes ? percent(doneBytes, totalBytes) : 0;
  return (
    <ProgressBar value={done} isIndeterminate={!totalBytes} aria-label={displayName}>
      <Label className="small soft">{text.bases.coming(stage, doneBytes, totalBytes)}</Label>
      <div className="track">
        <div className="fill" style={{ width: `${done}%` }} />
      </div>
    </ProgressBar>
  );
}
