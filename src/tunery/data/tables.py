"""
A table as read from a file or from records: named columns, numbered rows, and the problems found so far.

Readers (`delimited`, `workbooks`, `json_records`) make tables from bytes or from the text that `encodings` decodes;
`columns` and `checks` turn them into examples.

Row numbers are those a user sees: in CSV and workbooks the record counted from 1 with the header (as a spreadsheet
shows it, even when cells hold line breaks), in JSONL the line, in JSON and in records the element.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tunery.errors import DataProblem, DatasetInvalid, Level, Reading

# The reader is limited to 512 MB and 10 s. 4 MiB can contain 1,000,000 rows, or rows with a new column each; a million
# cells of a workbook took 10 s to measure and read.
MAX_ROWS = 100_000
MAX_COLUMNS = 256
MAX_CELLS = 400_000

_NAMES_IN_MESSAGE = 10
_MAX_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class BadCell:
    """A cell that is not text; it matters only if its column is used."""

    kind: str
    message: str


Cell = str | BadCell | None  # None: empty


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one record; `number` is the row number that the user sees."""

    number: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of a workbook."""

    name: str
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the caller knows about the file; None means detect it."""

    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    header_row: int | None = None  # as the user counts; rows above it are left out
    hidden_rows: bool = False  # read the rows that a workbook hides or filters away


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns, and how they were read."""

    format: str  # csv, tsv, xlsx, xls, ods, json, jsonl, aistudio, records
    columns: tuple[str, ...]
    rows: tuple[Row, ...]  # without the header and without blank rows; each as wide as `columns`
    problems: tuple[DataProblem, ...] = ()  # a problem with a column counts only if the column is used
    has_header: bool | None = None  # None: this format has no header row
    encoding: str | None = None
    encoding_is_guessed: bool = False
    delimiter: str | None = None
    sheet: str | None = None
    sheets: tuple[Sheet, ...] = ()
    hidden: frozenset[int] = frozenset()  # positions of hidden columns
    header_row: int | None = None  # number of the row with the column names
    refused: tuple[
        Row, ...
    ] = ()  # rows that could not be read; each has a problem, or the file has one for all of them

    def without(self, numbers: Collection[int]) -> Table:
        """Return the table without these rows and their problems."""
        rows = tuple(row for row in self.rows if row.number not in numbers)
        problems = tuple(one for one in self.problems if one.row not in numbers or one.option is not None)
        refused = tuple(row for row in self.refused if row.number not in numbers)
        return replace(self, rows=rows, problems=problems, refused=refused)


def invalid(
    kind: str,
    message: str,
    *,
    row: int | None = None,
    limit: int | None = None,
    actual: int | None = None,
    option: str | None = None,
    readings: tuple[Reading, ...] = (),
) -> DatasetInvalid:
    """Return the error for data that has only this problem."""
    problem = DataProblem(kind, message, row=row, limit=limit, actual=actual, option=option, readings=readings)
    return DatasetInvalid(str(problem), [problem])


def warning(
    kind: str,
    message: str,
    *,
    row: int | None = None,
    column: str | None = None,
    option: str | None = None,
    other_row: int | None = None,
) -> DataProblem:
    """Return a problem that does not stop tuning."""
    return DataProblem(kind, message, Level.WARNING, row=row, column=column, option=option, other_row=other_row)


def check_extent(rows: int, columns: int) -> None:
    """Raise DatasetInvalid when there are more rows, columns or cells than can be listed and checked."""
    if rows > MAX_ROWS:
        message = f"There are more than {MAX_ROWS:,} rows. 100 to 500 good examples are enough."
        raise invalid("too-many-rows", message, limit=MAX_ROWS, actual=rows)
    if columns > MAX_COLUMNS:
        message = f"There are {columns:,} columns, limit {MAX_COLUMNS:,}."
        raise invalid("too-many-columns", message, limit=MAX_COLUMNS, actual=columns)
    if rows * columns > MAX_CELLS:
        message = f"{rows:,} rows of {columns:,} columns are {rows * columns:,} cells, limit {MAX_CELLS:,}."
        raise invalid("too-many-cells", message, limit=MAX_CELLS, actual=rows * columns)


def sheet_notes(used: str, filled: Sequence[Sheet], *, is_named: bool) -> Iterator[DataProblem]:
    """
    Yield warnings about sheets with content that were not read; `is_named` if the caller named the sheet that was read.
    """
    visible = [sheet.name for sheet in filled if sheet.name != used and not sheet.is_hidden]
    hidden = [sheet.name for sheet in filled if sheet.name != used and sheet.is_hidden]
    if visible and not is_named:
        yield warning("several-sheets", f"Only sheet {used!r} was read; skipped: {listed(visible)}.", option="sheet")
    if hidden:
        sheets = f"sheet {listed(hidden)} was" if len(hidden) == 1 else f"sheets {listed(hidden)} were"
        yield warning("hidden-sheets", f"Hidden {sheets} not read.")


def printable(text: str) -> str:
    """Return text safe for terminals and JSON: NUL and lone surrogates become U+FFFD."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def column_name(text: str) -> str:
    """Return a column's name, short enough for messages."""
    return printable(text.strip()[:_MAX_NAME_CHARACTERS])


def listed(names: Sequence[str]) -> str:
    """Return the first ten names for a message, and the number of others."""
    shown = ", ".join(repr(name[:_MAX_NAME_CHARACTERS]) for name in names[:_NAMES_IN_MESSAGE])
    more = len(names) - _NAMES_IN_MESSAGE
    return f"{shown} and {more:,} more" if more > 0 else shown


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text, its encoding, and the problems found while decoding it."""

    text: str
    encoding: str
    problems: tuple[DataProblem, ...] = ()
    is_guessed: bool = False


# Spreadsheets run cells that begin like this as formulas (OWASP ASVS 5.0, 1.2.10).
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as CSV; a cell that a spreadsheet would run as a formula gets a quote before it."""
    text = io.StringIO()
    writer = csv.writer(text)  # CR LF ends the rows, so that cells with either are quoted
    writer.writerow(columns)
    writer.writerows([f"'{cell}" if _FORMULA.match(cell) else cell for cell in row] for row in rows)
    return text.getvalue()


def without_formula_quotes(rows: Sequence[Row]) -> tuple[list[Row], list[DataProblem]]:
    """Remove the quotes that `csv_text` puts before cells, if every such cell has one."""
    texts = [cell for row in rows for cell in row.cells if isinstance(cell, str)]
    if any(_FORMULA.match(text) and text[0] != "'" for text in texts) or not any(map(_is_quoted, texts)):
        return list(rows), []
    first = next(row.number for row in rows if any(map(_is_quoted, row.cells)))
    message = "cells that begin like a formula have a ' before them; it is not part of the text and was removed."
    return [
        Row(row.number, tuple(cell[1:] if isinstance(cell, str) and _is_quoted(cell) else cell for cell in row.cells))
        for row in rows
    ], [warning("formula-quotes", message, row=first)]


def _is_quoted(cell: Cell) -> bool:
    return isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell) is not None
