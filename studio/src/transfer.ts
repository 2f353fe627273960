// Rows in from the clipboard, files out to the user.
//
// Pasted rows have cells between tabs; cells with tabs or line breaks are quoted, as spreadsheets do.

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

/** The examples in pasted rows, and the numbers of rows that lack an input or an output. */
export function parseExamples(pasted: string): { examples: Example[]; wrong: number[] } {
  const wrong: number[] = [];
  const examples: Example[] = [];
  parseCells(pasted).forEach(([textInput = "", output = ""], index) => {
    if (textInput.trim() && output.trim()) examples.push({ textInput, output });
    else wrong.push(index + 1);
  });
  return { examples, wrong };
}

/** Whether the text is the address of a Google sheet. */
export function isSheetsAddress(pasted: string): boolean {
  return /^\s*https?:\/\/(docs|drive)\.google\.com\/\S+\s*$/.test(pasted);
}

/** Open a path of the API in a new tab, where the browser saves or shows the reply. */
export const openPath = (path: string) => void window.open(`/v1beta/${path}`, "_blank", "noopener");

export function download(name: string, content: string, type = "text/plain"): void {
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
