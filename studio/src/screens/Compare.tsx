import { useQueries } from "@tanstack/react-query";
import { Link, useSearch } from "wouter";
import { useIsSignedIn } from "../api/account";
import type { TunedModel } from "../api/client";
import { idOf } from "../api/client";
import { tunedModelQuery, useBaseNames } from "../api/models";
import { StateBadge } from "../components/JobState";
import { text } from "../components/library/text";
import { ErrorNote, Page, Skeleton } from "../components/Page";
import { SignInNote } from "../components/SignIn";
import { count, duration, loss, share, tookSeconds } from "../format";

const MOST = 5;

/** Several tuned models side by side, with their scores, settings and losses; differences are marked. */
export function Compare() {
  const ids = (new URLSearchParams(useSearch()).get("models") ?? "").split(",").filter(Boolean).slice(0, MOST);
  const isSignedIn = useIsSignedIn();
  const queries = useQueries({ queries: ids.map((id) => ({ ...tunedModelQuery(id), enabled: isSignedIn === true })) });
  const baseNames = useBaseNames();
  const models = queries.flatMap(({ data }) => data ?? []);
  const error = queries.find((query) => query.isError)?.error;
  const ready = models.filter(({ state }) => state === "ACTIVE").map(({ name }) => name);
  return (
    <Page
      title={text.compare.title}
      actions={
        ready.length > 1 && (
          <Link className="button primary" href={`/playground?${asked(ready)}`}>
            {text.compare.ask}
          </Link>
        )
      }
    >
      {isSignedIn === false && <SignInNote />}
      {error && <ErrorNote error={error} />}
      {isSignedIn && models.length === 0 && !error && <Skeleton />}
      {models.length > 0 && (
        <>
          <div className="card flush scroll">
            <table className="list compared">
              <thead>
                <tr>
                  <td />
                  {models.map((model) => (
                    <th key={model.name} scope="col" dir="auto">
                      <Link href={`/models/${idOf(model.name)}`}>{model.displayName}</Link> <StateBadge model={model} />
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {FACTS.map(([label, fact]) => {
                  const values = models.map((model) => fact(model, baseNames) ?? "–");
                  const differs = new Set(values).size > 1;
                  return (
                    <tr key={label} className={differs ? "differs" : undefined}>
                      <th scope="row">
                        {label}
                        {differs && <span className="visually-hidden"> ({text.compare.differs})</span>}
                      </th>
                      {values.map((value, place) => (
                        <td key={place}>{value}</td>
                      ))}
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
          <section className="card stack" aria-labelledby="losses">
            <h2 id="losses">{text.compare.losses}</h2>
            <EpochLines
              lines={models.map(({ displayName, tuningTask: { epochLosses = [] } }) => ({
                name: displayName,
                losses: epochLosses.map(({ meanLoss }) => Number(meanLoss)),
              }))}
            />
          </section>
        </>
      )}
    </Page>
  );
}

function asked([first = "", ...others]: string[]) {
  return new URLSearchParams([["model", first], ...others.map((name) => ["with", name])]);
}

type Fact = (model: TunedModel, baseNames: ReadonlyMap<string, string>) => string | undefined;

const FACTS: [string, Fact][] = [
  [text.library.columns.score, ({ score }) => score && `${share(score.value)} (${score.metric.replaceAll("_", " ")})`],
  [text.compare.baseScore, ({ score }) => (score?.baseValue === undefined ? undefined : share(score.baseValue))],
  [text.library.columns.base, ({ baseWeights }, names) => names.get(baseWeights) ?? baseWeights],
  [text.library.columns.examples, ({ tuningTask }) => count(tuningTask.data.rows)],
  [text.compare.source, ({ tuningTask }) => tuningTask.data.source],
  [text.compare.heldOut, ({ tuningTask }) => count(tuningTask.heldOutRows ?? 0)],
  [text.library.columns.epochs, ({ tuningTask }) => String(tuningTask.hyperparameters.epochCount)],
  [text.compare.batch, ({ tuningTask }) => String(tuningTask.hyperparameters.batchSize)],
  [text.compare.rate, ({ tuningTask }) => String(tuningTask.hyperparameters.learningRate)],
  [text.compare.seed, ({ tuningTask }) => String(tuningTask.seed)],
  [text.library.columns.loss, ({ tuningTask }) => loss(tuningTask.epochLosses?.at(-1)?.meanLoss)],
  [text.compare.heldOutLoss, ({ tuningTask }) => loss(tuningTask.epochLosses?.at(-1)?.heldOutLoss)],
  [
    text.library.columns.took,
    ({ tuningTask }) => {
      const took = tookSeconds(tuningTask);
      return took === undefined ? undefined : duration(took);
    },
  ],
];

type Line = { name: string; losses: number[] };

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [640, 240, 44, 28, 8];
const STYLES = [
  ["var(--accent)", ""],
  ["var(--good)", "6 4"],
  ["var(--bad)", "2 3"],
  ["var(--warn)", "9 3 2 3"],
  ["var(--text-soft)", "1 5"],
] as const;

/** The mean loss of each epoch of several models; the lines differ by pattern as well as by colour. */
function EpochLines({ lines }: { lines: Line[] }) {
  const epochs = Math.max(1, ...lines.map(({ losses }) => losses.length));
  const highest = Math.max(0.01, ...lines.flatMap(({ losses }) => losses));
  const x = (epoch: number) => LEFT + ((WIDTH - LEFT - 12) * (epoch - 1)) / Math.max(1, epochs - 1);
  const y = (value: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / highest);
  const told = lines.map(({ name, losses }) => `${name}: ${losses.map((value) => loss(value)).join(", ")}`).join("; ");
  return (
    <div className="stack tight">
      <svg className="epoch-lines" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={text.compare.told(told)}>
        {[0, highest / 2, highest].map((value) => (
          <g key={value}>
            <line x1={LEFT} x2={WIDTH} y1={y(value)} y2={y(value)} stroke="var(--line-soft)" />
            <text x={LEFT - 6} y={y(value) + 4} textAnchor="end">
              {loss(value)}
            </text>
          </g>
        ))}
        {[1, epochs].map((epoch) => (
          <text key={epoch} x={x(epoch)} y={HEIGHT - 8} textAnchor={epoch === 1 ? "start" : "end"}>
            {text.compare.epoch(epoch)}
          </text>
        ))}
        {lines.map(({ losses }, place) => {
          const [stroke, dashes] = STYLES[place % STYLES.length] ?? STYLES[0];
          const points = losses.map((value, epoch) => `${x(epoch + 1)},${y(value)}`).join(" ");
          return (
            <g key={place} fill={stroke}>
              <polyline points={points} stroke={stroke} strokeDasharray={dashes} />
              {losses.map((value, epoch) => (
                <circle key={epoch} cx={x(epoch + 1)} cy={y(value)} r="3.5" />
              ))}
            </g>
          );
        })}
      </svg>
      <div className="row small soft" aria-hidden="true">
        {lines.map(({ name }, place) => {
          const [stroke, dashes] = STYLES[place % STYLES.length] ?? STYLES[0];
          return (
            <span key={place} className="row small-gap">
              <svg width="32" height="10">
                <line x1="0" y1="5" x2="32" y2="5" stroke={stroke} strokeWidth="2.5" strokeDasharray={dashes} />
              </svg>
              <bdi>{name}</bdi>
            </span>
          );
        })}
      </div>
    </div>
  );
}
