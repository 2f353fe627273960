// Rows pasted from the clipboard, and files for download.
//
// Pasted rows have cells between tabs; cells with tabs or line breaks are quoted, as spreadsheets do.

import type { Example } from "./draft";

const QUOTED = /"((?:[^"]|"")*)"(?=[\t\r\n]|$)/y;
const LINE_END = /\r\n?|\n/y;

/** The cells of each row, without the empty ones at its end; blank rows are empty. */
export function parseCells(pasted: string): string[][] {
  const rows: string[][] = [[]];
  let cell = "";
  let place = 0;
  const endCell = () => {
    rows.at(-1)?.push(cell);
    cell = "";
  };
  while (place < pasted.length) {
    const sign = pasted[place];
    QUOTED.lastIndex = LINE_END.lastIndex = place;
    const quoted = sign === '"' && cell === "" ? QUOTED.exec(pasted) : null;
    if (quoted?.[1] !== undefined) {
      cell = quoted[1].replaceAll('""', '"').replace(/\r\n?/g, "\n");
      place = QUOTED.lastIndex;
    } else if (sign === "\t") {
      endCell();
      place += 1;
    } else if (LINE_END.test(pasted)) {
      endCell();
      rows.push([]);
      place = LINE_END.lastIndex;
    } else {
      cell += sign;
      place += 1;
    }
  }
  endCell();
  return rows.map((row) => row.slice(0, row.findLastIndex((value) => value.trim() !== "") + 1));
}

export type Pasted = {
  rows: Example[]; // including incomplete ones, which lack an output or an input
  incomplete: number[]; // numbers, from 1, of the rows that are not an input and an output
  header?: [string, string]; // names in the first row, which is not an example
  width: number; // cells of most rows
};

/** Interpret pasted rows: each row of two cells is an example; other rows are kept whole, for the user to complete. */
export function parsePasted(pasted: string): Pasted {
  const numbered = parseCells(pasted.replace(/^\ufeff/, "")).map((cells, place) => ({ cells, number: place + 1 }));
  const filled = numbered.filter(({ cells }) => cells.length > 0);
  const names = headerOf(filled.map(({ cells }) => cells));
  const isSwapped = names !== undefined && isOutputName(names[0]);
  const found: Pasted = {
    rows: [],
    incomplete: [],
    header: names,
    width: commonWidth(filled.map(({ cells }) => cells)),
  };
  for (const { cells, number } of names ? filled.slice(1) : filled) {
    const [first = "", second = ""] = isSwapped ? [cells[1], cells[0]] : cells;
    const isPair = cells.length === 2 && first.trim() !== "" && second.trim() !== "";
    if (!isPair) found.incomplete.push(number);
    found.rows.push(
      cells.length > 2 ? { textInput: cells.join("\t"), output: "" } : { textInput: first, output: second },
    );
  }
  return found;
}

// Usual names; a file has more of them, see data/columns.py.
const INPUT_NAMES = "text_input textinput input prompt question query instruction text message ticket problem".split(
  " ",
);
const OUTPUT_NAMES = "output completion answer response reply label target category class intent result".split(" ");
const plainName = (cell: string) =>
  cell
    .trim()
    .replace(/:$/, "")
    .replace(/[\s-]+/g, "_")
    .toLowerCase();
const isInputName = (cell: string) => INPUT_NAMES.includes(plainName(cell));
const isOutputName = (cell: string) => OUTPUT_NAMES.includes(plainName(cell));

/** The first row if it has two column names; unlike a name, a label occurs in other rows too. */
function headerOf(rows: string[][]): [string, string] | undefined {
  const [[first = "", second = ""] = [], ...others] = rows;
  const isHeader = (isInputName(first) && isOutputName(second)) || (isOutputName(first) && isInputName(second));
  const isRepeated = others.some((cells) => cells.includes(first) || cells.includes(second));
  return isHeader && rows[0]?.length === 2 && !isRepeated ? [first, second] : undefined;
}

function commonWidth(rows: string[][]): number {
  const counts = new Map<number, number>();
  for (const { length } of rows) counts.set(length, (counts.get(length) ?? 0) + 1);
  return [...counts].reduce((most, next) => (next[1] > most[1] ? next : most), [0, 0])[0];
}

/** Pasted rows as a file, for the choice of columns. */
export function pastedFile(pasted: string, name: string): File {
  return new File([csv(parseCells(pasted))], name, { type: "text/csv" });
}

/** Whether the text is the address of a Google sheet. */
export function isSheetsAddress(pasted: string): boolean {
  return /^\s*https?:\/\/(docs|drive)\.google\.com\/\S+\s*$/.test(pasted);
}

export function download(name: string, content: string | Blob, type = "text/plain"): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** A table as CSV. */
export function csv(rows: (string | number | undefined)[][]): string {
  const cell = (value: string | number | undefined) => {
    const plain = String(value ?? "");
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}
