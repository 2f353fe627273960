"""
Measures a sheet of an ODS workbook (OpenDocument 1.3, part 3, section 9) for `workbooks`; reads no values.
"""

from __future__ import annotations

from tunery.engine.data.sheet_scan import Attributes, SheetScan, local, parse_xml


def scan_ods(members: dict[str, bytes], sheet: str) -> SheetScan:
    """Scan the sheet of that name. Raises DatasetInvalid when it is too large or no XML."""
    scanner = _OdsScanner(sheet)
    parse_xml(members.get("content.xml", b""), scanner.start, scanner.end, scanner.text)
    return scanner.found


class _OdsScanner:
    """Follows `<table><table-row><table-cell/></table-row></table>`, where rows and cells may be repeated."""

    def __init__(self, sheet: str) -> None:
        self.found = SheetScan()
        self._sheet = sheet
        self._is_in_sheet = False
        self._row, self._column = 0, 0
        self._row_times = 1
        self._cell: Attributes | None = None
        self._characters: list[str] = []

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "table":
            self._is_in_sheet = self._sheet in (value for key, value in attributes.items() if local(key) == "name")
            self._row = 0
        elif name == "table-row":
            self._row_times, self._column = _repeated(attributes, "number-rows-repeated"), 0
        elif name in ("table-cell", "covered-table-cell"):
            self._cell, self._characters = attributes, []

    def end(self, name: str) -> None:
        if name == "table":
            self._is_in_sheet = False
        elif name == "table-row":
            self._row += self._row_times
        elif name in ("table-cell", "covered-table-cell") and self._cell is not None:
            self._close_cell(self._cell, "".join(self._characters))
            self._cell = None

    def text(self, data: str) -> None:
        if self._cell is not None:
            self._characters.append(data)

    def _close_cell(self, cell: Attributes, text: str) -> None:
        times = _repeated(cell, "number-columns-repeated")
        first, self._column = self._column, self._column + times
        if not self._is_in_sheet:
            return
        names = {local(key) for key in cell}
        has_value = bool(text) or any(name.endswith("value") for name in names)
        if any(value == "error" and local(key) == "value-type" for key, value in cell.items()):
            self.found.errors[self._row, first] = text or "an error"
        elif "formula" in names and not has_value:
            self.found.formulas.add((self._row, first))
        elif not has_value:
            return
        last = (self._row + self._row_times - 1, first + times - 1)
        self.found.count(*last, len(text), times * self._row_times)


def _repeated(attributes: Attributes, name: str) -> int:
    return max(1, *(int(value) for key, value in attributes.items() if local(key) == name), 1)
