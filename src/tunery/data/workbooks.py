"""
Reads one sheet of XLSX, XLS and ODS files, with cells as the text that a spreadsheet shows.

A file is first unpacked, measured and repacked (`workbook_limits`), so that the reader sees nothing unmeasured.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeVar

from tunery.data.columns import NamedRows, name_columns
from tunery.data.tables import BadCell, Cell, Row, Sheet, Table, TableOptions, invalid, listed, warning
from tunery.data.workbook_limits import (
    SheetScan,
    check_xls,
    compound_file,
    pack,
    parse_xml,
    protected,
    scan_ods,
    scan_xlsx,
    streams,
    unpack,
)
from tunery.errors import DataProblem

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

Value = int | float | str | bool | date | time | datetime | timedelta | BadCell | None

_SHOWN_DIGITS = 15  # the digits that spreadsheets show; 0.1 + 0.2 is stored as 0.30000000000000004
_WHOLE_NUMBERS_BELOW = 1e15


def cell_of(value: Value) -> Cell:
    """Return the text of a value, None for an empty cell; a BadCell stays as it is."""
    if value is None or isinstance(value, BadCell):
        return value
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, (date, time)) else _duration(value)


def is_shown_differently(value: Value) -> bool:
    """Return whether a spreadsheet may display the value differently: fractions, dates and times have formats."""
    if isinstance(value, float):
        return not value.is_integer()
    return isinstance(value, (date, time, timedelta))


def _number(value: float) -> str:
    if isinstance(value, int) or (value.is_integer() and abs(value) < _WHOLE_NUMBERS_BELOW):
        return str(int(value))
    return f"{value:.{_SHOWN_DIGITS}g}"


def _duration(value: timedelta) -> str:
    """Format a duration; hours may exceed 24, as in 30:00:00."""
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


T = TypeVar("T")
_NumberedValues = tuple[int, list[Value]]
_SCANS: dict[str, Callable[[dict[str, bytes], str], SheetScan]] = {"xlsx": scan_xlsx, "ods": scan_ods}


def read_workbook(data: bytes, options: TableOptions) -> Table:
    """
    Return one sheet: the named one, else the first visible sheet that is not empty.

    Raises DatasetInvalid when the file is damaged, protected, too large when unpacked, or has no such sheet.
    """
    form, members, clean = _unpacked(data)
    workbook = _guarded(lambda: _open(clean))
    sheets = _sheets(workbook)
    sheet, rows = _first_filled(workbook, form, members, _candidates(sheets, options.sheet))
    named = name_columns([Row(number, tuple(map(cell_of, values))) for number, values in rows], options.header)
    return Table(
        format=form,
        columns=named.columns,
        rows=named.rows,
        problems=(*_sheet_notes(sheets, sheet, options.sheet), *named.problems, *_number_notes(rows, named)),
        has_header=named.has_header,
        sheet=sheet,
        sheets=sheets,
    )


def _unpacked(data: bytes) -> tuple[str, dict[str, bytes], bytes]:
    """Return the format, the members of a zip, and a clean file for the reader."""
    if not data.startswith(b"PK"):
        return "xls", {}, _clean_xls(streams(data))
    members = unpack(data)
    form = _zip_format(members)
    for name, content in members.items():
        if name != "mimetype":
            parse_xml(content)  # the reader can loop forever on malformed XML
    return form, members, pack(members)


def _zip_format(members: dict[str, bytes]) -> str:
    if "xl/workbook.xml" in members:
        return "xlsx"
    if not members.get("mimetype", b"").startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        raise invalid(
            "not-a-table", "This is a zip archive but not an XLSX or ODS workbook. Unpack it or save as .xlsx."
        )
    if b"encryption-data" in members.get("META-INF/manifest.xml", b""):
        raise protected()
    return "ods"


def _clean_xls(found: dict[str, bytes]) -> bytes:
    """Return an OLE2 file with only the workbook; a protected XLSX is an OLE2 file too."""
    if "EncryptedPackage" in found:
        raise protected()
    for name in ("Workbook", "Book"):
        if name in found:
            check_xls(found[name])
            return compound_file(name, found[name])
    raise invalid("not-a-table", "This is an Office document but not a workbook. Save the table as .xlsx or .csv.")


def _guarded(action: Callable[[], T]) -> T:
    """Call calamine and turn its exceptions into DatasetInvalid."""
    from python_calamine import CalamineError, PasswordError

    try:
        return action()
    except PasswordError as error:
        raise protected() from error
    except CalamineError as error:
        raise invalid("damaged-workbook", "The workbook is damaged. Save it again.") from error
    except BaseException as error:
        # A panic in Rust code is not an Exception; it would pass every other handler and end the process.
        if type(error).__name__ != "PanicException":
            raise
        raise invalid("damaged-workbook", "The workbook is damaged. Save it again.") from error


def _open(data: bytes) -> CalamineWorkbook:
    from python_calamine import CalamineWorkbook

    return CalamineWorkbook.from_filelike(io.BytesIO(data))


def _sheets(workbook: CalamineWorkbook) -> tuple[Sheet, ...]:
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    return tuple(
        Sheet(found.name, is_hidden=found.visible != SheetVisibleEnum.Visible)
        for found in workbook.sheets_metadata
        if found.typ == SheetTypeEnum.WorkSheet
    )


def _candidates(sheets: tuple[Sheet, ...], name: str | None) -> list[str]:
    names = [sheet.name for sheet in sheets]
    if len(set(names)) < len(names):  # the reader might read another sheet than the measured one
        raise invalid("damaged-workbook", "Two sheets have the same name. Rename one.")
    if name is None:
        return [sheet.name for sheet in sheets if not sheet.is_hidden] or names
    if name not in names:
        raise invalid("no-such-sheet", f"There is no sheet {name!r}. Sheets: {listed(names)}.")
    return [name]


def _first_filled(
    workbook: CalamineWorkbook, form: str, members: dict[str, bytes], names: list[str]
) -> tuple[str, list[_NumberedValues]]:
    for name in names:
        scan = _SCANS[form](members, name) if form in _SCANS else SheetScan()
        rows = list(_rows(workbook, name, scan))
        if rows:
            return name, rows
    raise invalid("no-rows", "All sheets of the workbook are empty.")


def _rows(workbook: CalamineWorkbook, name: str, scan: SheetScan) -> Iterator[_NumberedValues]:
    """Yield the rows that are not blank with their numbers; BadCells say why there is no value."""
    sheet = _guarded(lambda: workbook.get_sheet_by_name(name))
    values = sheet.to_python(skip_empty_area=False)
    bad: dict[int, dict[int, BadCell]] = {}
    for row, column in scan.formulas:
        message = "a formula without a stored value. Open the workbook in a spreadsheet and save it."
        bad.setdefault(row, {})[column] = BadCell("formula", message)
    for (row, column), error in scan.errors.items():
        bad.setdefault(row, {})[column] = BadCell("cell-error", f"the error {error[:40]}, not text.")
    width = max(scan.columns, max(map(len, values), default=0))
    for row in range(max(len(values), scan.rows)):
        cells: list[Value] = list(values[row]) if row < len(values) else []
        cells += [None] * (width - len(cells))
        for column, cell in bad.get(row, {}).items():
            cells[column] = cell
        if any(cell not in (None, "") for cell in cells):
            yield row + 1, cells


def _sheet_notes(sheets: tuple[Sheet, ...], used: str, asked: str | None) -> Iterator[DataProblem]:
    visible = [sheet.name for sheet in sheets if sheet.name != used and not sheet.is_hidden]
    hidden = [sheet.name for sheet in sheets if sheet.name != used and sheet.is_hidden]
    if visible and asked is None:
        yield warning("several-sheets", f"Only sheet {used!r} was read; skipped: {listed(visible)}.")
    if hidden:
        yield warning("hidden-sheets", f"There are hidden sheets that were not read: {listed(hidden)}.")


def _number_notes(rows: list[_NumberedValues], named: NamedRows) -> Iterator[DataProblem]:
    """Yield a warning for each column whose values a spreadsheet may display differently."""
    below = rows[1:] if named.has_header else rows
    for name, position in zip(named.columns, named.positions, strict=True):
        found = [(number, values[position]) for number, values in below if is_shown_differently(values[position])]
        if found:
            row, value = found[0]
            count = f", like {len(found) - 1:,} more in this column" if len(found) > 1 else ""
            message = f"a number or date was read as the text {cell_of(value)!r}{count}."
            yield warning("number-as-text", message, row=row, column=name)
