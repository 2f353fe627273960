"""
Measures a sheet of an XLSX workbook (ECMA-376, part 1, section 18) for `workbooks`; reads no values.
"""

from __future__ import annotations

import posixpath
import re

from tunery.engine.data.sheet_scan import Attributes, SheetScan, local, parse_xml

_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")


def scan_xlsx(members: dict[str, bytes], sheet: str) -> SheetScan:
    """Scan the sheet of that name. Raises DatasetInvalid when it is too large or no XML."""
    by_lower_name = {name.lower(): content for name, content in members.items()}  # as the reader looks for them
    path = _sheet_path(by_lower_name, sheet).lower()
    scanner = _XlsxScanner(_shared_lengths(by_lower_name.get("xl/sharedstrings.xml", b"")))
    parse_xml(by_lower_name.get(path, b""), scanner.start, scanner.end, scanner.text)
    return scanner.found


class _XlsxScanner:
    """Follows `<row><c><f/><v/></c></row>`; positions may be left out and then count on."""

    def __init__(self, shared_lengths: list[int]) -> None:
        self.found = SheetScan()
        self._lengths = shared_lengths
        self._row, self._column = -1, -1
        self._type = ""
        self._inside = ""
        self._value: list[str] = []
        self._has_formula = self._has_value = False

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "row":
            self._row = int(attributes.get("r", self._row + 2)) - 1
            self._column = -1
        elif name == "c":
            self._row, self._column = _position(attributes.get("r"), self._row, self._column + 1)
            self._type = attributes.get("t", "")
            self._value, self._has_formula, self._has_value = [], False, False
        elif name in ("v", "t", "f"):
            self._inside = name
            self._has_formula |= name == "f"
            self._has_value |= name == "v"

    def end(self, name: str) -> None:
        if name in ("v", "t", "f"):
            self._inside = ""
        elif name == "c":
            self._close_cell("".join(self._value))

    def text(self, data: str) -> None:
        if self._inside in ("v", "t"):
            self._value.append(data)

    def _close_cell(self, value: str) -> None:
        position = (self._row, self._column)
        if self._type == "e":
            self.found.errors[position] = value or "an error"
        elif self._has_formula and not value and not (self._type == "str" and self._has_value):
            self.found.formulas.add(position)
        elif not value:
            return
        self.found.count(*position, self._length(value))

    def _length(self, value: str) -> int:
        if self._type != "s":
            return len(value)
        return self._lengths[int(value)] if value.isdigit() and int(value) < len(self._lengths) else 0


def _sheet_path(members: dict[str, bytes], sheet: str) -> str:
    identifiers: dict[str, str] = {}
    targets: dict[str, str] = {}

    def start_sheet(name: str, attributes: Attributes) -> None:
        if name == "sheet":
            by_name = {local(key): value for key, value in attributes.items()}
            identifiers[by_name.get("name", "")] = by_name.get("id", "")

    def start_relation(name: str, attributes: Attributes) -> None:
        if name == "Relationship":
            targets[attributes.get("Id", "")] = attributes.get("Target", "")

    parse_xml(members.get("xl/workbook.xml", b""), start_sheet)
    parse_xml(members.get("xl/_rels/workbook.xml.rels", b""), start_relation)
    return posixpath.normpath(posixpath.join("/xl", targets.get(identifiers.get(sheet, ""), ""))).lstrip("/")


def _shared_lengths(data: bytes) -> list[int]:
    lengths: list[int] = []

    def start(name: str, _: Attributes) -> None:
        if name == "si":
            lengths.append(0)

    def text(data: str) -> None:
        if lengths:
            lengths[-1] += len(data)

    if data:
        parse_xml(data, start, text=text)
    return lengths


def _position(reference: str | None, row: int, column: int) -> tuple[int, int]:
    match = _REFERENCE.fullmatch(reference or "")
    if match is None:
        return row, column
    number = 0
    for letter in match[1]:
        number = number * 26 + ord(letter) - ord("A") + 1
    return int(match[2]) - 1, number - 1
