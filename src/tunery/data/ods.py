"""
Reads the sheets of an ODS workbook (OpenDocument), whose cells contain the text that the sheet shows.

Elements and attributes have the names of the standard, without namespaces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tunery.data.number_formats import Shown, show
from tunery.data.tables import BadCell, Sheet
from tunery.data.workbook_limits import Attributes, SheetContent, line_breaks, local, parse_xml

_NO_VALUE = "a formula without a stored value. Open the workbook in a spreadsheet and save it."
_CELLS = ("table-cell", "covered-table-cell")
_TEXT_ELEMENTS = frozenset({"p", "span", "a", "s", "tab", "line-break", "ruby", "ruby-base", "date", "time", "title"})
_HIDDEN = ("collapse", "filter")
_ERROR = re.compile(r"#(?:N/A|NAME\?|REF!|DIV/0!|VALUE!|NUM!|NULL!)|Err:\d{3}")
_SHORTENED = re.compile(r"-?(?:0|[1-9]\d*)(?:(?:\.\d+)?E[+-]?\d+)?")
_LINE_END = re.compile(r"[ \t]*[\r\n][ \t\r\n]*")


class OdsWorkbook:
    """The sheets of a workbook, each read on demand."""

    def __init__(self, members: Mapping[str, bytes]) -> None:
        self._content = members.get("content.xml", b"")
        outline = _OutlineReader()
        parse_xml(self._content, outline.start, outline.end, outline.text)
        self.sheets = tuple(outline.sheets)
        self._filled = outline.filled

    def is_filled(self, name: str) -> bool:
        """Return whether a sheet has any value."""
        return name in self._filled

    def read(self, name: str) -> SheetContent:
        """Return the cells of a sheet. Raises DatasetInvalid when it is damaged or too large."""
        reader = _SheetReader(name)
        parse_xml(self._content, reader.start, reader.end, reader.text)
        return reader.content


def _plain(attributes: Attributes) -> Attributes:
    """Return the attributes without namespaces; if a value has two types, "error" wins."""
    plain: Attributes = {}
    for key, value in attributes.items():
        if plain.get(local(key)) != "error":
            plain[local(key)] = value
    return plain


class _OutlineReader:
    """Finds the sheets, whether they contain text, and the styles that hide a sheet."""

    def __init__(self) -> None:
        self.sheets: list[Sheet] = []
        self.filled: set[str] = set()
        self._hiding: set[str] = set()
        self._style = ""
        self._depth = 0
        self._is_cell = False

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "table":
            self._depth += 1
            if self._depth == 1:
                given = _plain(attributes)
                is_hidden = given.get("style-name") in self._hiding
                self.sheets.append(Sheet(given.get("name", ""), is_hidden=is_hidden))
        elif name in _CELLS:
            self._is_cell = self._depth > 0
        elif name == "style":
            self._style = _plain(attributes).get("name", "")
        elif name == "table-properties" and _plain(attributes).get("display") == "false":
            self._hiding.add(self._style)

    def end(self, name: str) -> None:
        if name == "table":
            self._depth -= 1
        elif name in _CELLS:
            self._is_cell = False

    def text(self, data: str) -> None:
        if self._is_cell and not data.isspace():
            self.filled.add(self.sheets[-1].name)


class _SheetReader:
    """Follows `<table><table-row><table-cell><p/></table-cell></table-row></table>`; rows and cells may be repeated."""

    def __init__(self, sheet: str) -> None:
        self.content = SheetContent()
        self._sheet = sheet
        self._depth, self._is_in_sheet = 0, False
        self._row, self._column, self._row_times = 0, 0, 1
        self._first_column = 0  # of the next column declaration
        self._groups: list[tuple[str, bool]] = []  # the open groups of rows and columns, and whether each is hidden
        self._cell: Attributes | None = None
        self._is_covered = False
        self._text = _CellText(self.content)

    def start(self, name: str, attributes: Attributes) -> None:
        if self._cell is not None:
            self._text.start(name, attributes)
        elif name == "table":
            self._depth += 1
            if self._depth == 1:
                self._is_in_sheet = _plain(attributes).get("name", "") == self._sheet
                self._row = self._first_column = 0
        elif self._is_in_sheet and self._depth == 1:
            self._start_in_sheet(name, _plain(attributes))

    def _start_in_sheet(self, name: str, attributes: Attributes) -> None:
        if name == "table-row":
            self._row_times, self._column = _times(attributes, "number-rows-repeated"), 0
            if self._is_hidden("table-row-group", attributes):
                self.content.hide_rows(self._row, self._row + self._row_times - 1)
        elif name in _CELLS:
            self._cell, self._is_covered = attributes, name == "covered-table-cell"
        elif name == "table-column":
            times = _times(attributes, "number-columns-repeated")
            if self._is_hidden("table-column-group", attributes):
                self.content.hide_columns(self._first_column, self._first_column + times - 1)
            self._first_column += times
        elif name in ("table-row-group", "table-column-group"):
            self._groups.append((name, attributes.get("display") == "false"))

    def _is_hidden(self, group: str, attributes: Attributes) -> bool:
        return attributes.get("visibility") in _HIDDEN or (group, True) in self._groups

    def end(self, name: str) -> None:
        if self._cell is not None:
            if name not in _CELLS or self._text.is_inside:
                self._text.end(name)
                return
            self._close_cell(self._cell, self._text.take())
            self._cell = None
        elif name == "table":
            self._depth -= 1
            self._is_in_sheet = self._is_in_sheet and self._depth > 0
        elif self._is_in_sheet and self._depth == 1:
            if name == "table-row":
                self._row += self._row_times
            elif self._groups and name == self._groups[-1][0]:
                self._groups.pop()

    def text(self, data: str) -> None:
        if self._cell is not None:
            self._text.add(data)

    def _close_cell(self, cell: Attributes, text: str) -> None:
        times = _times(cell, "number-columns-repeated")
        row, column = self._row, self._column
        self._column += times
        if self._is_covered:  # covered by the merged cell to the left or above, which is the only one the sheet shows
            return
        below, beside = _times(cell, "number-rows-spanned"), _times(cell, "number-columns-spanned")
        if below > 1 or beside > 1:
            self.content.merged.append((row, column, row + below - 1, column + beside - 1))
        shown = _shown(cell, text)
        if isinstance(shown, Shown):
            if shown.text:
                self.content.put(row, column, shown.text, rows=self._row_times, columns=times)
            if shown.doubt is not None:
                self.content.doubts[row, column] = shown.doubt
        else:
            self.content.put(row, column, shown, rows=self._row_times, columns=times)


def _times(attributes: Attributes, name: str) -> int:
    return max(1, int(attributes.get(name, 1)))


def _shown(cell: Attributes, text: str) -> Shown | BadCell:
    """Return what the sheet shows: the text stored with the value, else the value."""
    kind = cell.get("value-type", "")
    if kind == "error" or ("formula" in cell and _ERROR.fullmatch(text)):
        return BadCell("cell-error", f"the error {text[:40] or 'without a name'}, not text.")
    if text:
        return _beside(float(cell["value"]), text) if kind == "float" and cell.get("value") else Shown(text)
    value = next((cell[name] for name in _VALUES if cell.get(name)), "")
    if not value and "formula" in cell and "string-value" not in cell:
        return BadCell("formula", _NO_VALUE)
    if kind == "boolean":
        return Shown(value.upper())
    if kind in ("float", "percentage", "currency"):
        number = show(float(value or 0), "General")
        return number if kind == "float" else Shown(number.text, f"a {kind} is stored without the text the sheet shows")
    if kind == "date":
        return Shown(value.replace("T00:00:00", "").replace("T", " "))
    return Shown(line_breaks(value))


def _beside(value: float, text: str) -> Shown:
    """Return the text stored with a number; Gnumeric shortens it to fit its column."""
    stored = show(value, "General").text
    if _SHORTENED.fullmatch(text) is None or float(text) == value:
        return Shown(text)
    if "E" in text:
        return Shown(stored, f"the sheet shows {text!r} for this number")
    return Shown(text, f"the number is stored as {stored}")


_VALUES = ("value", "string-value", "date-value", "time-value", "boolean-value")


class _CellText:
    """
    Collects the paragraphs of a cell, without comments, pictures and phonetic guides.

    Repeated spaces are kept, as LibreOffice writes and shows them, although the standard would collapse them.
    """

    def __init__(self, content: SheetContent) -> None:
        self._content = content
        self._pieces: list[str] = []
        self._open: list[str] = []
        self._skipped = 0  # depth below an element that is not part of the cell's text
        self._has_paragraph = False

    @property
    def is_inside(self) -> bool:
        """Whether an element in the cell is open."""
        return bool(self._open) or self._skipped > 0

    def start(self, name: str, attributes: Attributes) -> None:
        if self._skipped or name not in _TEXT_ELEMENTS:
            self._skipped += 1
            return
        self._open.append(name)
        if name == "p":
            if self._has_paragraph:
                self._pieces.append("\n")
            self._has_paragraph = True
        elif name == "s":
            count = _times(_plain(attributes), "c")
            self._content.count_characters(count)
            self._pieces.append(" " * count)
        elif name in ("tab", "line-break"):
            self._pieces.append("\t" if name == "tab" else "\n")

    def end(self, _: str) -> None:
        if self._skipped:
            self._skipped -= 1
        else:
            self._open.pop()

    def add(self, data: str) -> None:
        """Add characters of a paragraph; a line end in the file counts as a space."""
        if not self._skipped and "p" in self._open:
            self._pieces.append(_LINE_END.sub(" ", data))

    def take(self) -> str:
        """Return the text and start a new cell."""
        text = "".join(self._pieces)
        self._pieces, self._has_paragraph = [], False
        return text
