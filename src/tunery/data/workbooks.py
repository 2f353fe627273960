"""
Reads one sheet of XLSX, XLS and ODS files, with cells as the text that the sheet shows.

Hidden rows are left out unless the caller wants them; warnings report what is hidden, merged, or in an unsupported
format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from tunery.data.columns import best_of, promise
from tunery.data.headers import NamedRows, name_columns
from tunery.data.ods import OdsWorkbook
from tunery.data.tables import MAX_CELLS, Cell, Row, Sheet, Table, TableOptions, invalid, listed, sheet_notes, warning
from tunery.data.workbook_limits import Area, SheetContent, damaged, protected, unpack
from tunery.data.xls import XlsWorkbook
from tunery.data.xlsx import XlsxWorkbook
from tunery.errors import DataProblem, DatasetInvalid, Reading

# Numbers puts a sheet that only says what was exported before the tables.
_NUMBERS_SUMMARY = "Export Summary"


class Workbook(Protocol):
    """The sheets of a workbook, each read on demand."""

    sheets: tuple[Sheet, ...]

    def is_filled(self, name: str) -> bool:
        """Return whether a sheet has any value."""

    def read(self, name: str) -> SheetContent:
        """Return the cells of a sheet."""


def read_workbook(data: bytes, options: TableOptions) -> Table:
    """
    Return one sheet: the named one, else the first visible one with two columns to learn from, else the first one with
    content.

    Raises DatasetInvalid when the file is damaged, protected, too large when unpacked, or has no such sheet.
    """
    form, workbook = _opened(data)
    sheet, content = _chosen(workbook, _candidates(workbook.sheets, options.sheet), options)
    rows = _Rows.of(content, options.hidden_rows)
    if not rows.kept:
        raise invalid("no-rows", f"All rows of sheet {sheet!r} are hidden.", option="hidden_rows")
    named = name_columns(rows.kept, options.header, options.header_row)
    return Table(
        format=form,
        columns=named.columns,
        rows=named.rows,
        problems=(
            *sheet_notes(sheet, _filled(workbook, sheet), is_named=options.sheet is not None),
            *rows.notes(),
            *named.problems,
            *_doubts(content, named),
            *_merged_notes(content, named),
        ),
        has_header=named.has_header,
        header_row=named.header_row,
        sheet=sheet,
        sheets=workbook.sheets,
        hidden=frozenset(at for at, position in enumerate(named.positions) if position in content.hidden_columns),
    )


def _opened(data: bytes) -> tuple[str, Workbook]:
    """Return the format and the workbook."""
    if not data.startswith(b"PK"):
        return "xls", XlsWorkbook(data)
    members = unpack(data)
    if "xl/workbook.xml" in map(str.lower, members):
        return "xlsx", XlsxWorkbook(members)
    if not members.get("mimetype", b"").startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        raise invalid(
            "not-a-table", "This is a zip archive but not an XLSX or ODS workbook. Unpack it or save as .xlsx."
        )
    if b"encryption-data" in members.get("META-INF/manifest.xml", b""):
        raise protected()
    return "ods", OdsWorkbook(members)


def _candidates(sheets: tuple[Sheet, ...], name: str | None) -> list[str]:
    names = [sheet.name for sheet in sheets]
    if len(set(names)) < len(names):
        raise invalid("damaged-workbook", "Two sheets have the same name. Rename one.")
    if name is None:
        visible = [sheet.name for sheet in sheets if not sheet.is_hidden] or names
        return sorted(visible, key=lambda one: one == _NUMBERS_SUMMARY)
    if name not in names:
        raise invalid("no-such-sheet", f"There is no sheet {name!r}. Sheets: {listed(names)}.")
    return [name]


def _chosen(workbook: Workbook, names: list[str], options: TableOptions) -> tuple[str, SheetContent]:
    """Return the first of the most promising sheets."""
    filled = ((name, content) for name in names if (content := _content(workbook, name)).cells)
    first = next(filled, None)
    if first is None:
        raise invalid("no-rows", "All sheets of the workbook are empty.")
    return best_of(first, filled, lambda sheet: _promise(sheet[1], options) if len(names) > 1 else 0)


def _content(workbook: Workbook, name: str) -> SheetContent:
    content = workbook.read(name)
    _empty_covered_cells(content)
    return content


def _filled(workbook: Workbook, used: str) -> list[Sheet]:
    return [sheet for sheet in workbook.sheets if sheet.name == used or workbook.is_filled(sheet.name)]


def _promise(content: SheetContent, options: TableOptions) -> int:
    try:
        named = name_columns(_Rows.of(content, options.hidden_rows).kept, options.header, options.header_row)
    except DatasetInvalid:  # reported if this sheet is read after all
        return 0
    shown = [at for at, position in enumerate(named.positions) if position not in content.hidden_columns]
    return promise(named.rows, shown)


def _empty_covered_cells(content: SheetContent) -> None:
    """Remove the cells that merged cells cover. Raises DatasetInvalid if they overlap too often."""
    covered = 0
    for area in content.merged:
        first_row, first_column, last_row, last_column = _clipped(area, content)
        covered += (last_row - first_row + 1) * (last_column - first_column + 1)
        if covered > MAX_CELLS:
            raise damaged()
        for row in range(first_row, last_row + 1):
            for column in range(first_column, last_column + 1):
                if (row, column) != (first_row, first_column):
                    content.cells.get(row, {}).pop(column, None)


def _clipped(area: Area, content: SheetContent) -> Area:
    first_row, first_column, last_row, last_column = area
    return first_row, first_column, min(last_row, content.rows - 1), min(last_column, content.columns - 1)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a sheet that are not blank."""

    all: list[Row]
    hidden: frozenset[int]  # numbers
    with_hidden: bool

    @classmethod
    def of(cls, content: SheetContent, with_hidden: bool) -> _Rows:
        filled = [row for row in sorted(content.cells) if any(content.cells[row].values())]
        hidden = frozenset(row + 1 for row in filled if row in content.hidden_rows)
        return cls([Row(row + 1, _cells(content, row)) for row in filled], hidden, with_hidden)

    @property
    def kept(self) -> list[Row]:
        return [row for row in self.all if self.with_hidden or row.number not in self.hidden]

    def notes(self) -> Iterator[DataProblem]:
        if not self.hidden:
            return
        first = min(self.hidden)
        what = "1 hidden row was" if len(self.hidden) == 1 else f"{len(self.hidden):,} hidden rows were"
        if self.with_hidden:
            yield warning("hidden-rows", f"{what} read (first: row {first}).")
            return
        without = Reading("false", _texts([row for row in self.kept if row.number > first]))
        readings = (without, Reading("true", _texts([row for row in self.all if row.number >= first])))
        note = warning("hidden-rows", f"{what} left out (first: row {first}).", option="hidden_rows")
        yield replace(note, readings=readings)


def _texts(rows: list[Row]) -> tuple[tuple[str, ...], ...]:
    """Return the texts of three rows."""
    return tuple(tuple(cell if isinstance(cell, str) else "" for cell in row.cells) for row in rows[:3])


def _cells(content: SheetContent, row: int) -> tuple[Cell, ...]:
    line = content.cells[row]
    return tuple(line.get(column) for column in range(content.columns))


def _doubts(content: SheetContent, named: NamedRows) -> Iterator[DataProblem]:
    """Yield a warning for each column and each reason why the sheet may show different texts."""
    found: dict[tuple[str, str], list[tuple[int, Cell]]] = {}
    for row in named.rows:
        for name, position, cell in zip(named.columns, named.positions, row.cells, strict=True):
            doubt = content.doubts.get((row.number - 1, position))
            if doubt is not None and cell is not None:
                found.setdefault((name, doubt), []).append((row.number, cell))
    for (name, doubt), cells in found.items():
        number, cell = cells[0]
        message = f"{doubt}; it was read as {cell!r}{_more(len(cells))}."
        yield warning("number-as-text", message, row=number, column=name)


def _more(count: int) -> str:
    return f", like {count - 1:,} more in this column" if count > 1 else ""


def _merged_notes(content: SheetContent, named: NamedRows) -> Iterator[DataProblem]:
    """Yield a warning for each column in which merged cells leave cells of the rows empty."""
    numbers = {row.number for row in named.rows}
    found: dict[int, list[Area]] = {}
    for area in sorted(content.merged):
        first_row, first_column, last_row, last_column = _clipped(area, content)
        if not numbers.isdisjoint(range(first_row + 1, last_row + 2)):
            first = first_column if last_row > first_row else first_column + 1
            for column in range(first, last_column + 1):
                found.setdefault(column, []).append(area)
    for name, position in zip(named.columns, named.positions, strict=True):
        areas = found.get(position, [])
        if areas:
            message = f"cells {_reference(areas[0])} are merged{_more(len(areas))}; only the first has the value."
            advice = "Unmerge them and fill in the others."
            yield warning("merged-cells", f"{message} {advice}", row=areas[0][0] + 1, column=name)


def _reference(area: Area) -> str:
    return f"{_letters(area[1])}{area[0] + 1}:{_letters(area[3])}{area[2] + 1}"


def _letters(column: int) -> str:
    """Return the letters of a column counted from 0."""
    before, last = divmod(column, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)
