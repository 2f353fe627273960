"""Files of inputs to answer: reads the text of each row, and writes the same rows with a column of answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from tunery.data.checks import joined_input
from tunery.data.columns import column_positions, is_of_ids, plain_name, suggest
from tunery.data.dataset import ReadOptions, read_table
from tunery.data.json_text import json_line
from tunery.data.tables import Row, Table, TableOptions, csv_text, invalid, listed
from tunery.errors import DatasetInvalid, InvalidArgument, Level

ANSWERS = "output"  # the new column
KINDS = (".csv", ".tsv", ".xlsx", ".jsonl")
_TABLE_OPTIONS = ("sheet", "encoding", "delimiter", "header", "header_row", "hidden_rows")


@dataclass(frozen=True, slots=True)
class InputFile:
    """Rows to answer: the texts of their inputs, from the columns `inputs`, and the cells they are made of."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    inputs: tuple[str, ...]
    texts: tuple[str, ...]
    has_header: bool = True  # or names of its own, as JSON has


def read_inputs(path: str | Path, **options: Unpack[ReadOptions]) -> InputFile:
    """
    Read a table in any format that `Dataset.read` supports; it needs no column of outputs.

    Raises NotFound, InvalidArgument, and DatasetInvalid for rows that cannot be read or have no input.
    """
    wanted: dict[str, Any] = {name: value for name, value in options.items() if name in _TABLE_OPTIONS}
    table = read_table(path, TableOptions(**wanted))
    if _names_first_row(table, options.get("input_column")):
        table = read_table(path, TableOptions(**wanted, header_row=table.rows[0].number))
    errors = [problem for problem in table.problems if problem.level is Level.ERROR]
    if errors:
        raise DatasetInvalid("", errors)
    if not table.rows:
        raise invalid("no-rows", "There are no rows to answer.")
    positions = _inputs(table, options.get("input_column"))
    texts = tuple(joined_input(row, table.columns, positions) for row in table.rows)
    if empty := [str(row.number) for row, text in zip(table.rows, texts, strict=True) if not text.strip()]:
        where = listed([table.columns[position] for position in positions])
        raise invalid("empty-input", f"No input in {where}, row {', '.join(empty[:5])}. Fill or delete it.")
    inputs = tuple(table.columns[position] for position in positions)
    return InputFile(table.columns, table.rows, inputs, texts, table.has_header is not False)


def with_answers(file: InputFile, answers: Sequence[str], kind: str) -> bytes:
    """
    Return the rows, with the answers as the last column, as a file of `kind`, one of KINDS; raises InvalidArgument.
    """
    columns = (*file.columns, _free_name(file.columns))
    rows = [
        (*(cell if isinstance(cell, str) else "" for cell in row.cells), answer)
        for row, answer in zip(file.rows, answers, strict=True)
    ]
    if kind == ".csv":
        return csv_text(columns, rows).encode()
    if kind == ".tsv":
        text = io.StringIO()
        csv.writer(text, delimiter="\t").writerows([columns, *rows])
        return text.getvalue().encode()
    if kind == ".jsonl":
        return "".join(json_line(dict(zip(columns, row, strict=True))) for row in rows).encode()
    if kind == ".xlsx":
        return _workbook([columns, *rows])
    raise InvalidArgument(f"Answers can be written to {', '.join(KINDS)}, not to {kind!r}.")


def _inputs(table: Table, given: str | Sequence[str] | None) -> tuple[int, ...]:
    if given is not None:
        return column_positions(table.columns, given)
    found = suggest(table.columns, table.rows)
    if found is None:
        return (0,)
    ids = {
        place
        for place in (*found.inputs, found.output)
        if is_of_ids(table.columns[place], [row.cells[place] for row in table.rows])
    }
    # there is nothing to write yet, so what looks like the output of a ticket number is the text to answer
    return (found.output,) if found.is_guessed and ids == set(found.inputs) else found.inputs


def _names_first_row(table: Table, given: str | Sequence[str] | None) -> bool:
    """Return whether the columns that were asked for are named in the first row, which was not taken for a header."""
    if given is None or table.has_header is not False or not table.rows:
        return False
    names = {plain_name(cell) for cell in table.rows[0].cells if isinstance(cell, str)}
    return {plain_name(name) for name in ([given] if isinstance(given, str) else given)} <= names


def _free_name(columns: Sequence[str]) -> str:
    names = [ANSWERS, *(f"{ANSWERS} {number}" for number in range(2, len(columns) + 3))]
    return next(name for name in names if name not in columns)


def _workbook(rows: Sequence[Sequence[str]]) -> bytes:
    """Return a workbook of texts; no text is interpreted as a number, a formula or a link."""
    import xlsxwriter

    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Answers")
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write_string(number, column, cell)
    return content.getvalue()
