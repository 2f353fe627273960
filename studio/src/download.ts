// Files for the user, made in the browser or sent by the server.

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
