import { type RefObject, useMemo, useState } from "react";
import { Button } from "react-aria-components";
import { useIsSignedIn, useLimits } from "../../api/account";
import type { Estimate } from "../../api/examples";
import type { Example } from "../../draft";
import { type Cells, type Filter, type Refused, rowProblems } from "../../rows";
import { parsePasted, pastedFile } from "../../transfer";
import { PastedNotes } from "../create/PastedNotes";
import { text } from "../create/text";
import { Window } from "../dialogs";
import { Table } from "../Facts";
import { type GridHandle, RowsGrid } from "./RowsGrid";

type ExamplesGridProps = {
  rows: Example[];
  change: (rows: Example[]) => void;
  read: (file: File) => void; // rows of several columns, to be added
  estimate?: Estimate;
  refused: Refused[];
  filter: Filter;
  setFilter: (filter: Filter) => void;
  ref: RefObject<GridHandle | null>;
};

const COLUMNS = [
  { name: text.grid.input, labelOf: text.grid.inputOf },
  { name: text.grid.output, labelOf: text.grid.outputOf },
];
const LONG = 30; // characters; a shorter beginning is shown in each row

/** The examples in the grid, with the server's problems and token counts. */
export function ExamplesGrid({ rows, change, read, estimate, refused, filter, setFilter, ref }: ExamplesGridProps) {
  const { textInputCharacters: input, outputCharacters: output } = useLimits();
  const isCurrent = estimate?.exampleTokens.length === rows.length;
  const isWaiting = useIsSignedIn() === true && !isCurrent && refused.length === 0;
  const problems = useMemo(() => {
    const cut = estimate?.cutRows?.map((row) => ({ row, kind: "long-row" })) ?? [];
    const warnings = isCurrent ? [...cut, ...(estimate?.problems ?? [])] : [];
    return rowProblems(rows, { input, output }, warnings, refused);
  }, [rows, input, output, isCurrent, estimate, refused]);
  const cells = useMemo(() => rows.map(({ textInput, output }) => [textInput, output]), [rows]);
  const [pasted, setPasted] = useState<string>();
  const prefix = estimate?.inputs?.prefix ?? "";
  return (
    <>
      <RowsGrid
        ref={ref}
        label={text.grid.label}
        columns={COLUMNS}
        rows={cells}
        change={(next) => change(next.map(([textInput = "", output = ""]) => ({ textInput, output })))}
        problems={problems}
        isWaiting={isWaiting}
        tokens={isCurrent ? estimate.exampleTokens : NO_TOKENS}
        beginning={prefix.length < LONG ? "" : prefix}
        labels={isCurrent ? estimate.outputs?.labels?.map(({ label }) => label) : undefined}
        filter={filter}
        setFilter={setFilter}
        paste={setPasted}
      />
      {pasted !== undefined && (
        <PasteDialog
          pasted={pasted}
          add={(more) => ref.current?.append(more)}
          read={read}
          onClose={() => {
            setPasted(undefined);
            ref.current?.focus();
          }}
        />
      )}
    </>
  );
}

const NO_TOKENS: number[] = [];
const SHOWN = 5;

type PasteDialogProps = {
  pasted: string;
  add: (rows: Cells[]) => void;
  read: (file: File) => void;
  onClose: () => void;
};

/** Rows pasted from a spreadsheet, before they are added. */
function PasteDialog({ pasted, add, read, onClose }: PasteDialogProps) {
  const found = useMemo(() => parsePasted(pasted), [pasted]);
  const { rows, width } = found;
  const cells = rows.map(({ textInput, output }) => [textInput, output]);
  const [label, act] =
    width > 2
      ? [text.import.chooseColumns, () => read(pastedFile(pasted, text.import.pastedName))]
      : [text.grid.addRows(rows.length), () => add(cells)];
  return (
    <Window title={text.grid.pasteTitle(rows.length)} isOpen onClose={onClose}>
      {width <= 2 && <PastedRows heads={[text.grid.input, text.grid.output]} rows={cells} />}
      <PastedNotes pasted={found} />
      <PasteButtons label={label} isDisabled={rows.length === 0} act={act} onClose={onClose} />
    </Window>
  );
}

/** The first pasted rows, and how many follow. */
export function PastedRows({ heads, rows }: { heads: string[]; rows: Cells[] }) {
  return (
    <>
      <Table className="small" heads={heads.map((head) => [head] as const)}>
        <tbody>
          {rows.slice(0, SHOWN).map((cells, place) => (
            <tr key={place}>
              {heads.map((_, at) => (
                <td key={at}>
                  <div dir="auto" className="clamp">
                    {cells[at]}
                  </div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </Table>
      {rows.length > SHOWN && <p className="soft small">{text.grid.pasteMore(rows.length - SHOWN)}</p>}
    </>
  );
}

type PasteButtonsProps = { label: string; isDisabled: boolean; act: () => void; onClose: () => void };

export function PasteButtons({ label, isDisabled, act, onClose }: PasteButtonsProps) {
  return (
    <div className="row end">
      <Button onPress={onClose}>{text.common.cancel}</Button>
      <Button
        className="button primary"
        isDisabled={isDisabled}
        onPress={() => {
          act();
          onClose();
        }}
      >
        {label}
      </Button>
    </div>
  );
}
