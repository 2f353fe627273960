import { useState } from "react";
import { Button } from "react-aria-components";
import type { Parsed, ReadOptions } from "../../api/examples";
import type { Example } from "../../draft";
import { count } from "../../format";
import {
  type Asked,
  askedOf,
  controlsOf,
  type Edits,
  isSameReading,
  NO_EDITS,
  type NumberedExample,
  readRowOf,
  type Role,
  type Roles,
  rolesOf,
  skipRowsOf,
  suggestedRoles,
  withFixes,
  withOptions,
  withRole,
} from "../../reading";
import { toast } from "../toasts";
import { MappingTable } from "./MappingTable";
import { ProblemTable } from "./ProblemTable";
import { Questions } from "./Questions";
import { focusOption, ReadControls } from "./ReadControls";
import { text } from "./text";

type ImportPreviewProps = {
  parsed: Parsed;
  isReading: boolean;
  again: (options: ReadOptions) => void;
  leave: () => void;
  use: (examples: NumberedExample[], options: ReadOptions) => void;
};

/**
 * How a file was read: questions, format, columns, one example, problems.
 *
 * Only what is on the screen can be imported: the button waits until the server has read the file in this way.
 */
export function ImportPreview({ parsed, isReading, again, leave, use }: ImportPreviewProps) {
  const { examples = [], problems, columns = [], exampleCount = 0 } = parsed;
  const reading = useReading(parsed, again);
  const { options, roles, edits } = reading;
  const asked = useAsked(parsed, options);
  const controls = controlsOf(parsed, options);
  const isAsked = asked.some(({ option }) => option === "hiddenRows");
  const shown = new Set([...controls].filter((option) => option !== "hiddenRows" || !isAsked));
  const hasErrors = problems.some(({ level }) => level === "error");
  const { isShown, isRead } = reading.stateOf(isReading);
  const imported = withFixes(examples, edits);
  const listed = problems.filter((problem) => asked.every((question) => question.problem !== problem));
  return (
    <div className="stack" aria-busy={isReading}>
      <FileLine parsed={parsed} leave={leave} />
      <Questions asked={asked} options={options} change={reading.change} />
      {shown.size > 0 && <ReadControls parsed={parsed} options={options} shown={shown} change={reading.change} />}
      {columns.length > 0 && <MappingTable parsed={parsed} roles={roles} use={reading.use} />}
      {columns.length > 0 && (
        <OneExample parsed={parsed} isShown={isShown} isReading={isReading} isMapped={reading.isComplete} />
      )}
      {isShown && listed.length > 0 && (
        <ProblemTable
          problems={listed}
          name={parsed.file.name}
          rowOf={(number) => readRowOf(parsed, number)}
          skip={reading.skip}
          fix={reading.fix}
          controls={controls}
          focusControl={focusOption}
        />
      )}
      <SkippedRows edits={edits} undo={reading.undo} />
      <div className="row">
        <Button
          className="button primary"
          isDisabled={hasErrors || imported.length === 0 || !isRead}
          onPress={() => use(imported, options)}
        >
          {text.import.rows(hasErrors ? exampleCount + Object.keys(edits.fixed).length : imported.length)}
        </Button>
        {isShown && hasErrors && <span className="small soft">{whatFirst(parsed, asked)}</span>}
      </div>
    </div>
  );
}

/** How the user wants the file to be read: options, roles of the columns, rows skipped or fixed here. */
function useReading(parsed: Parsed, again: (options: ReadOptions) => void) {
  const [options, setOptions] = useState<ReadOptions>(parsed.options);
  const [chosen, setChosen] = useState<{ key: string; roles: Roles }>();
  const [past, setPast] = useState<Edits[]>([NO_EDITS]);
  const { columns = [], mapping } = parsed;
  const edits = past.at(-1) ?? NO_EDITS;
  const key = mappingKey(parsed, options);
  const roles = chosen?.key === key ? chosen.roles : suggestedRoles(columns, mapping);
  function read(next: ReadOptions) {
    setOptions(next);
    again(next);
  }
  /** Read the file in another way; texts that were fixed here belong to the old reading. */
  function change(part: ReadOptions) {
    const fixes = Object.keys(edits.fixed).length;
    const kept: Edits = { skipped: edits.skipped, fixed: {} };
    const next = withOptions({ ...options, skipRows: skipRowsOf(kept) }, part);
    setPast([next.skipRows === undefined ? NO_EDITS : kept]);
    if (fixes > 0) toast(text.problems.fixesDropped(fixes));
    read(next);
  }
  function edit(next: Edits, history: Edits[]) {
    setPast([...history, next]);
    read({ ...options, skipRows: skipRowsOf(next) });
  }
  const { inputs, output } = rolesOf(columns, roles);
  return {
    options,
    roles,
    edits,
    isComplete: inputs.length > 0 && output !== undefined,
    change,
    use: (column: string, role: Role) => {
      const next = withRole(columns, roles, column, role);
      setChosen({ key, roles: next });
      const { inputs: inputColumn, output: outputColumn } = rolesOf(columns, next);
      if (outputColumn && inputColumn.length > 0) change({ inputColumn, outputColumn });
    },
    skip: (rows: number[]) => edit({ ...edits, skipped: [...new Set([...edits.skipped, ...rows])] }, past),
    fix: (row: number, example: Example) => edit({ ...edits, fixed: { ...edits.fixed, [row]: example } }, past),
    undo: past.length > 1 ? () => edit(past.at(-2) ?? NO_EDITS, past.slice(0, -2)) : undefined,
    /** Whether the server's reply belongs to the options on the screen, and whether the whole file was read. */
    stateOf: (isReading: boolean) => {
      const { inputs: readInputs, output: readOutput } = rolesOf(columns, suggestedRoles(columns, mapping));
      const isMapped = output === readOutput && inputs.join("\0") === readInputs.join("\0");
      const isShown = isMapped && isSameReading(options, parsed.options);
      return { isShown, isRead: isShown && !isReading && options.skipRows === parsed.options.skipRows };
    },
  };
}

const mappingKey = ({ columns = [] }: Parsed, { encoding, delimiter, sheet, headerRow }: ReadOptions) =>
  JSON.stringify([encoding, delimiter, sheet, headerRow, columns]);

/** The open questions about the file as it is read now, and the answered ones. */
function useAsked(parsed: Parsed, options: ReadOptions): Asked[] {
  const [known, setKnown] = useState<{ parsed: Parsed; asked: Asked[] }>({ parsed, asked: askedOf(parsed, [], {}) });
  if (known.parsed === parsed) return known.asked;
  const asked = askedOf(parsed, known.asked, options);
  setKnown({ parsed, asked });
  return asked;
}

function whatFirst({ problems }: Parsed, asked: Asked[]) {
  if (asked.some(({ problem }) => problem?.level === "error")) return text.import.answerFirst;
  const errors = problems.filter(({ level }) => level === "error");
  if (errors.some(({ isSkippable }) => isSkippable)) return text.import.errorsFirst;
  return errors.some(({ option }) => option) ? text.import.readFirst : text.import.fixFirst;
}

/** The file, its format, and how many of its rows can be used. */
function FileLine({ parsed, leave }: { parsed: Parsed; leave: () => void }) {
  const { file, format, rowCount, exampleCount = rowCount } = parsed;
  return (
    <div className="row spread">
      <div>
        <strong>{file.name}</strong>{" "}
        <span className="soft" role="status">
          {format && `· ${format} `}
          {rowCount !== undefined && `· ${text.import.usable(exampleCount ?? rowCount, rowCount)}`}
        </span>
      </div>
      <Button className="button quiet" onPress={leave}>
        {text.import.another}
      </Button>
    </div>
  );
}

type OneExampleProps = { parsed: Parsed; isShown: boolean; isReading: boolean; isMapped: boolean };

/** The first example as it will be learned, even if other rows have errors, but never from another reading. */
function OneExample({ parsed: { firstExample }, isShown, isReading, isMapped }: OneExampleProps) {
  const why = !isMapped ? text.import.needBoth : isReading ? text.import.reading : text.import.notRead;
  return (
    <section aria-labelledby="one-example">
      <h3 id="one-example">{text.import.oneExample}</h3>
      {isShown && firstExample ? (
        <dl className="example">
          <div>
            <dt>{text.import.input}</dt>
            <dd dir="auto">{firstExample.textInput}</dd>
          </div>
          <div>
            <dt>{text.import.output}</dt>
            <dd dir="auto">{firstExample.output}</dd>
          </div>
        </dl>
      ) : (
        <p className="example soft">{isShown ? text.import.noExample : why}</p>
      )}
    </section>
  );
}

const SHOWN_ROWS = 10;

/** The rows of the file that are skipped or were fixed here, and a button that undoes the last step. */
function SkippedRows({ edits: { skipped, fixed }, undo }: { edits: Edits; undo?: () => void }) {
  const fixedRows = Object.keys(fixed).map(Number);
  const left = skipped.filter((row) => !(row in fixed));
  const sentences = [
    left.length > 0 && text.problems.skipped(left.length, listed(left)),
    fixedRows.length > 0 && text.problems.fixed(fixedRows.length, listed(fixedRows)),
  ].filter((one) => typeof one === "string");
  return (
    <div role="status">
      {sentences.length > 0 && (
        <div className="note small row spread">
          <span>{sentences.join(" ")}</span>
          {undo && (
            <Button className="button quiet small-button" onPress={undo}>
              {text.toast.undo}
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

function listed(rows: number[]): string {
  const sorted = [...rows].sort((one, other) => one - other);
  const shown = sorted.slice(0, SHOWN_ROWS).map(count).join(", ");
  return sorted.length > SHOWN_ROWS ? `${shown} ${text.problems.more(sorted.length - SHOWN_ROWS)}` : shown;
}
