// Structured prompts as text (the preamble, then a line "prefix text" for each column, as in the server's exports) and
// while they are edited.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { createPrompt, isChangedElsewhere, type Parsed, type Prompt, updatePrompt } from "./api/examples";
import type { Example } from "./draft";
import type { NumberedExample } from "./reading";
import type { RowProblem } from "./rows";
import { parseCells } from "./transfer";

type Shape = Pick<Prompt, "preamble" | "columns">;

/** The input text of a row; `isLabelled` includes preamble and prefixes. */
export function inputText({ preamble, columns }: Shape, cells: string[], isLabelled = true): string {
  const inputs = columns.flatMap((column, place) => {
    const cell = cells[place] ?? "";
    if (!column.isInput || !cell) return [];
    return [isLabelled ? `${column.prefix} ${cell}`.trim() : cell];
  });
  return (isLabelled && preamble ? [preamble, ...inputs] : inputs).join("\n");
}

/** The output text of a row; several outputs become labelled lines. */
export function outputText({ columns }: Pick<Shape, "columns">, cells: string[]): string {
  const outputs = columns.flatMap(({ prefix, isInput }, place) =>
    isInput ? [] : [{ prefix, cell: cells[place] ?? "" }],
  );
  return outputs
    .filter(({ cell }) => cell)
    .map(({ prefix, cell }) => (outputs.length > 1 ? `${prefix} ${cell}`.trim() : cell))
    .join("\n");
}

/** The examples of a prompt, from its rows that are not empty. */
export function examplesOf(prompt: Prompt, isLabelled: boolean): Example[] {
  const hasInput = (cells: string[]) => prompt.columns.some(({ isInput }, place) => isInput && cells[place]);
  return (prompt.rows ?? [])
    .filter(({ cells }) => cells.some((cell) => cell.trim()))
    .map(({ cells }) => ({
      textInput: hasInput(cells) ? inputText(prompt, cells, isLabelled) : "",
      output: outputText(prompt, cells),
    }));
}

/** What rows lack to be examples; rows without any text do not count. */
export function promptProblems(columns: Prompt["columns"], rows: string[][]): (RowProblem | undefined)[] {
  const has = (cells: string[], wanted: boolean) =>
    columns.some(({ isInput }, place) => isInput === wanted && cells[place]?.trim());
  return rows.map((cells) => {
    if (cells.every((cell) => !cell.trim()) || (has(cells, true) && has(cells, false))) return undefined;
    return { kind: has(cells, true) ? "empty-output" : "empty-input", isError: true };
  });
}

const plainName = (name: string) => name.trim().replace(/:$/, "").trim().toLowerCase();

/** Pasted rows with a cell for each column; further cells are joined to the last column. */
export function pastedCells(pasted: string, columns: Prompt["columns"]): { rows: string[][]; header: boolean } {
  const filled = parseCells(pasted.replace(/^\ufeff/, "")).filter((cells) => cells.length > 0);
  const rows = filled.map((cells) =>
    columns.map((_, place) => (place < columns.length - 1 ? cells[place] : cells.slice(place).join("\t")) ?? ""),
  );
  const header =
    columns.some(({ prefix }) => prefix !== "") &&
    rows[0]?.every((cell, place) => plainName(cell) === plainName(columns[place]?.prefix ?? "")) === true;
  return { rows: header ? rows.slice(1) : rows, header };
}

/** The columns of a prompt for the rows of a file: those of the file if the prompt has no text yet and fewer inputs. */
export function withColumnsOf({ mapping }: Parsed, { columns, rows }: Pick<PromptParts, "columns" | "rows">) {
  const inputs = mapping?.inputColumns ?? [];
  const isEmpty = rows.every((cells) => cells.every((cell) => !cell.trim()));
  const isAlike = inputs.length === columns.filter(({ isInput }) => isInput).length;
  if (isAlike || !isEmpty || !mapping?.outputColumn) return columns;
  return [
    ...inputs.map((name) => ({ prefix: `${plainName(name)}:`, isInput: true })),
    { prefix: `${plainName(mapping.outputColumn)}:`, isInput: false },
  ];
}

/** The rows of a file, all of which are in its sample, as rows of a prompt. */
export function rowsOfFile(file: Parsed, examples: NumberedExample[], columns: Prompt["columns"]): string[][] {
  const { mapping, sample = [] } = file;
  const names = file.columns ?? [];
  const inputs = mapping?.inputColumns ?? [];
  const places = columns.flatMap(({ isInput }, place) => (isInput ? [place] : []));
  const output = columns.findIndex(({ isInput }) => !isInput);
  const cells = new Map(sample.map((row) => [row.number, row.cells]));
  return examples.map((example) => {
    const row = columns.map(() => "");
    const own = cells.get(example.row ?? -1);
    const texts =
      own && places.length === inputs.length
        ? inputs.map((name) => own[names.indexOf(name)] ?? "")
        : [example.textInput];
    texts.forEach((cell, at) => (row[places[at] ?? 0] = cell));
    if (output >= 0) row[output] = example.output;
    return row;
  });
}

const PAUSE_MS = 700;

export type PromptParts = Pick<Prompt, "displayName" | "preamble" | "columns"> & {
  rows: string[][];
  testRows: string[][];
};
type PromptSaving = "saved" | "saving" | "unsaved" | "changedElsewhere";

/** A prompt being edited, saved shortly after the last change and when the page is left. */
export function usePromptEdit(id: string, prompt: Prompt) {
  const [parts, setParts] = useState<PromptParts>(() => partsOf(prompt));
  const [saving, setSaving] = useState<PromptSaving>("saved");
  const client = useQueryClient();
  const unsaved = useRef<PromptParts>(undefined);
  const save = useRef<() => Promise<void>>(undefined);
  const known = useRef(prompt.updateTime);
  useEffect(() => {
    save.current = async () => {
      const latest = unsaved.current;
      if (!latest) return;
      unsaved.current = undefined;
      try {
        const saved = await updatePrompt(id, bodyOf(latest), known.current);
        known.current = saved.updateTime;
        client.setQueryData(["prompt", id], saved);
        setSaving(unsaved.current ? "saving" : "saved");
        void client.invalidateQueries({ queryKey: ["prompts"] });
      } catch (error) {
        unsaved.current ??= latest;
        setSaving(isChangedElsewhere(error) ? "changedElsewhere" : "unsaved");
      }
    };
  }, [client, id]);
  useEffect(() => {
    const timer = setTimeout(() => void save.current?.(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [parts]);
  useEffect(() => () => void save.current?.(), []);
  function change(part: Partial<PromptParts>) {
    setParts((before) => {
      const next = { ...before, ...part };
      unsaved.current = next;
      return next;
    });
    setSaving("saving");
  }
  /** Leave the prompt as it is elsewhere, and store this one by itself; returns its name. */
  async function keepAsCopy(): Promise<string> {
    const copy = await createPrompt(bodyOf(unsaved.current ?? parts));
    unsaved.current = undefined;
    return copy.name;
  }
  /** Take what is stored instead; the page begins anew with it. */
  async function load() {
    unsaved.current = undefined;
    await client.resetQueries({ queryKey: ["prompt", id] });
  }
  return { parts, saving, change, keepAsCopy, load };
}

function partsOf({ displayName, preamble, columns, rows = [], testRows = [] }: Prompt): PromptParts {
  return {
    displayName,
    preamble,
    columns,
    rows: rows.map(({ cells }) => cells),
    testRows: testRows.map(({ cells }) => cells),
  };
}

function bodyOf({ displayName, rows, testRows, ...rest }: PromptParts) {
  return {
    ...rest,
    ...(displayName.trim() && { displayName: displayName.trim() }),
    rows: rows.map((cells) => ({ cells })),
    testRows: testRows.map((cells) => ({ cells })),
  };
}
