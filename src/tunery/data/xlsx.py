"""
Reads the sheets of an XLSX workbook, ordinary or Strict Open XML (ECMA-376).

Names of elements and parts are those of the standard: `c` is a cell, `v` its value, `si` a shared text.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time

from tunery.data.number_formats import BUILT_IN_FORMATS, GENERAL, Shown, is_date_format, iso_text, serial_number, show
from tunery.data.tables import BadCell, Sheet
from tunery.data.workbook_limits import Attributes, SheetContent, damaged, line_breaks, local, parse_xml

_NO_VALUE = "a formula without a stored value. Open the workbook in a spreadsheet and save it."
_FILLED = re.compile(rb"<(?:\w+:)?[vt][\s>]")
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_EXTRA_ZEROS = re.compile(r"[-+]?0\d")


class XlsxWorkbook:
    """The sheets of a workbook, each read on demand."""

    def __init__(self, members: Mapping[str, bytes]) -> None:
        self._members = {name.lower(): content for name, content in members.items()}  # case does not matter in names
        self._outline = _Outline()
        parse_xml(self._members.get("xl/_rels/workbook.xml.rels", b""), self._outline.start_relation)
        parse_xml(self._members.get("xl/workbook.xml", b""), self._outline.start)
        self.sheets = tuple(self._outline.sheets)

    def is_filled(self, name: str) -> bool:
        """Return whether a sheet has any value."""
        return _FILLED.search(self._part(name)) is not None

    def read(self, name: str) -> SheetContent:
        """Return the cells of a sheet. Raises DatasetInvalid when it is damaged or too large."""
        reader = _SheetReader(self._texts, self._formats, self._outline.is_1904)
        parse_xml(self._part(name), reader.start, reader.end, reader.text)
        return reader.content

    def _part(self, name: str) -> bytes:
        part = self._members.get(self._outline.parts[name])
        if part is None:
            raise damaged()
        return part

    @functools.cached_property
    def _texts(self) -> list[str]:
        reader = _TextsReader()
        data = self._members.get(self._outline.part_of("sharedStrings", "xl/sharedstrings.xml"), b"")
        if data:
            parse_xml(data, reader.start, reader.end, reader.text)
        return list(map(_unescaped, reader.texts))

    @functools.cached_property
    def _formats(self) -> list[str]:
        reader = _StylesReader()
        data = self._members.get(self._outline.part_of("styles", "xl/styles.xml"), b"")
        if data:
            parse_xml(data, reader.start, reader.end)
        codes = {**BUILT_IN_FORMATS, **reader.codes}
        return [codes.get(number, GENERAL) for number in reader.cells]


@dataclass(slots=True)
class _Outline:
    """The contents of workbook.xml and its relations: the sheets, their parts, and how dates are counted."""

    sheets: list[Sheet] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    is_1904: bool = False
    _relations: dict[str, tuple[str, str]] = field(default_factory=dict)  # id: type and part

    def start_relation(self, name: str, attributes: Attributes) -> None:
        if name == "Relationship":
            part = posixpath.normpath(posixpath.join("/xl", attributes.get("Target", ""))).lstrip("/").lower()
            kind = attributes.get("Type", "").rpartition("/")[2]
            self._relations[attributes.get("Id", "")] = (kind, part)

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "workbookPr":
            self.is_1904 = _is_true(attributes.get("date1904"))
        if name != "sheet":
            return
        given = {local(key): value for key, value in attributes.items()}
        kind, part = self._relations.get(given.get("id", ""), ("worksheet", ""))
        if kind == "worksheet":  # others are charts and dialogs
            title = given.get("name", "")
            self.sheets.append(Sheet(title, is_hidden=given.get("state", "visible") != "visible"))
            self.parts[title] = part

    def part_of(self, kind: str, usual: str) -> str:
        """Return the part of this type."""
        return next((part for found, part in self._relations.values() if found == kind), usual)


def _is_true(value: str | None) -> bool:
    return value in ("1", "true", "on")


def _unescaped(text: str) -> str:
    """Decode _x000D_ and the like (22.9.2.19), with plain line feeds."""
    if "_x" in text:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # joins pairs of escapes
    return line_breaks(text) if "\r" in text else text


class _TextsReader:
    """Follows `<si><t/></si>` and `<si><r><t/></r><rPh><t/></rPh></si>`, where rPh is only how to pronounce it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._pieces: list[str] = []
        self._is_text = self._is_reading_aid = False

    def start(self, name: str, _: Attributes) -> None:
        if name == "si":
            self._pieces = []
        elif name == "rPh":
            self._is_reading_aid = True
        elif name == "t":
            self._is_text = not self._is_reading_aid

    def end(self, name: str) -> None:
        if name == "si":
            self.texts.append("".join(self._pieces))
        elif name == "rPh":
            self._is_reading_aid = False
        elif name == "t":
            self._is_text = False

    def text(self, data: str) -> None:
        if self._is_text:
            self._pieces.append(data)


class _StylesReader:
    """Finds the number formats by their numbers, and the number of each cell style."""

    def __init__(self) -> None:
        self.codes: dict[int, str] = {}
        self.cells: list[int] = []
        self._list = ""

    def start(self, name: str, attributes: Attributes) -> None:
        if name in ("numFmts", "cellXfs"):
            self._list = name
        elif name == "numFmt" and self._list == "numFmts":
            self.codes[int(attributes.get("numFmtId", 0))] = attributes.get("formatCode", "")
        elif name == "xf" and self._list == "cellXfs":
            self.cells.append(int(attributes.get("numFmtId", 0)))

    def end(self, name: str) -> None:
        if name == self._list:
            self._list = ""


class _SheetReader:
    """Follows `<row><c><f/><v/></c></row>`; a missing position means the one after the previous."""

    def __init__(self, texts: list[str], formats: list[str], is_1904: bool) -> None:
        self.content = SheetContent()
        self._texts, self._formats, self._is_1904 = texts, formats, is_1904
        self._row, self._column = -1, -1
        self._cell: Attributes | None = None
        self._inside = ""
        self._value: list[str] = []
        self._has_formula = self._has_value = self._is_reading_aid = False

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "c":
            self._row, self._column = _position(attributes.get("r"), self._row, self._column + 1)
            self._cell = attributes
            self._value, self._has_formula, self._has_value = [], False, False
        elif self._cell is not None:
            self._start_in_cell(name)
        elif name == "row":
            self._row = int(attributes.get("r", self._row + 2)) - 1
            self._column = -1
            if _is_true(attributes.get("hidden")) or _is_zero(attributes.get("ht")):
                self.content.hide_rows(self._row, self._row)
        elif name == "col" and (_is_true(attributes.get("hidden")) or _is_zero(attributes.get("width"))):
            first = int(attributes.get("min", 1))
            self.content.hide_columns(first - 1, int(attributes.get("max", first)) - 1)
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))

    def _start_in_cell(self, name: str) -> None:
        if name == "rPh":
            self._is_reading_aid = True
        elif name in ("v", "t", "f"):
            self._inside = name
            self._has_formula |= name == "f"
            self._has_value |= name == "v"

    def _merge(self, reference: str) -> None:
        first, _, last = reference.partition(":")
        if _REFERENCE.fullmatch(first) and _REFERENCE.fullmatch(last):
            self.content.merged.append((*_position(first, 0, 0), *_position(last, 0, 0)))

    def end(self, name: str) -> None:
        if name in ("v", "t", "f"):
            self._inside = ""
        elif name == "rPh":
            self._is_reading_aid = False
        elif name == "c" and self._cell is not None:
            self._close_cell(self._cell.get("t", "n"), "".join(self._value))
            self._cell = None

    def text(self, data: str) -> None:
        if self._inside == "v" or (self._inside == "t" and not self._is_reading_aid):
            self._value.append(data)

    def _close_cell(self, kind: str, value: str) -> None:
        if kind == "e":
            self._put(BadCell("cell-error", f"the error {value[:40] or 'without a name'}, not text."))
        elif value:
            self._put_value(kind, value)
        elif self._has_formula and not (kind == "str" and self._has_value):
            self._put(BadCell("formula", _NO_VALUE))

    def _put_value(self, kind: str, value: str) -> None:
        if kind == "s":
            if not (value.isdecimal() and int(value) < len(self._texts)):
                raise damaged()
            self._put(self._texts[int(value)])
        elif kind == "b":
            self._put("TRUE" if _is_true(value) else "FALSE")
        elif kind == "d":
            self._put_shown(self._date(value))
        elif kind == "n" and _NUMBER.fullmatch(value):
            self._put_shown(self._number(value))
        else:
            self._put(_unescaped(value))

    def _number(self, value: str) -> Shown:
        shown = show(float(value), self._format(), is_1904=self._is_1904)
        if _EXTRA_ZEROS.match(value) and self._format() == GENERAL:
            return Shown(shown.text, f"the number is stored as {value[:40]!r}")
        return shown

    def _date(self, value: str) -> Shown:
        """Return a date that is stored as ISO 8601."""
        try:
            moment = _moment(value)
        except ValueError:
            return Shown(value)
        if not is_date_format(self._format()):
            return Shown(iso_text(moment))
        return show(serial_number(moment, is_1904=self._is_1904), self._format(), is_1904=self._is_1904)

    def _format(self) -> str:
        style = "" if self._cell is None else self._cell.get("s", "")
        number = int(style) if style.isdecimal() else 0
        return self._formats[number] if number < len(self._formats) else GENERAL

    def _put_shown(self, shown: Shown) -> None:
        self._put(shown.text)
        if shown.doubt is not None:
            self.content.doubts[self._row, self._column] = shown.doubt

    def _put(self, cell: str | BadCell) -> None:
        if cell != "":
            self.content.put(self._row, self._column, cell)


def _is_zero(size: str | None) -> bool:
    return size is not None and size.strip("0") in ("", ".")


def _moment(value: str) -> datetime:
    if "-" not in value:
        return datetime.combine(date(1899, 12, 30), time.fromisoformat(value))
    return datetime.fromisoformat(value).replace(tzinfo=None)


def _position(reference: str | None, row: int, column: int) -> tuple[int, int]:
    match = _REFERENCE.fullmatch(reference or "")
    if match is None:
        return row, column
    number = 0
    for letter in match[1]:
        number = number * 26 + ord(letter) - ord("A") + 1
    return int(match[2]) - 1, number - 1
