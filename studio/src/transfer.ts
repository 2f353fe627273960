// Rows pasted from a spreadsheet or typed: cells between tabs, quotes around cells with tabs or line breaks.

import type { Example } from "./draft";

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
    if (sign === '"' && cell === "") {
      const quoted = /^"((?:[^"]|"")*)"(?=\t|\r?\n|$)/.exec(pasted.slice(place));
      if (quoted?.[1] !== undefined) {
        cell = quoted[1].replaceAll('""', '"');
        place += quoted[0].length;
        continue;
      }
    }
    if (sign === "\t") endCell();
    else if (sign === "\n") {
      endCell();
      rows.push([]);
    } else if (sign !== "\r") cell += sign;
    place += 1;
  }
  endCell();
  return rows.filter((row) => row.some((value) => value.trim() !== ""));
}

/** Examples from pasted rows; the numbers of rows without two filled cells come with them. */
export function parseExamples(pasted: string): { examples: Example[]; wrong: number[] } {
  const wrong: number[] = [];
  const examples: Example[] = [];
  parseCells(pasted).forEach(([textInput = "", output = ""], index) => {
    if (textInput.trim() && output.trim()) examples.push({ textInput, output });
    else wrong.push(index + 1);
  });
  return { examples, wrong };
}

/** Whether somebody pasted the address of a sheet instead of its rows. */
export function isSheetsAddress(pasted: string): boolean {
  return /^\s*https?:\/\/(docs|drive)\.google\.com\/\S+\s*$/.test(pasted);
}

/** Open a path of the API in a tab of its own: the browser saves or shows what comes, also what is wrong. */
export const openPath = (path: string) => void window.open(`/v1beta/${path}`, "_blank", "noopener");

export function download(name: string, content: string, type = "text/plain"): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** A table as CSV; cells with commas, quotes or line breaks are quoted. */
export function csv(rows: (string | number | undefined)[][]): string {
  const cell = (value: string | number | undefined) => {
    const plain = String(value ?? "");
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}
