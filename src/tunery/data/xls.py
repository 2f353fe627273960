"""
Reads the sheets of an old .xls workbook: OLE2 streams (MS-CFB) with BIFF records (MS-XLS).

Texts and truth values come from calamine, which gets a clean file that contains only the workbook. Numbers, errors, and
hidden or merged cells come from the records, since calamine ignores number formats.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tunery.data.number_formats import BUILT_IN_FORMATS, GENERAL, show
from tunery.data.tables import BadCell, Cell, Sheet, invalid
from tunery.data.workbook_limits import SheetContent, damaged, line_breaks, protected

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

T = TypeVar("T")


class XlsWorkbook:
    """The sheets of a workbook, each read on demand."""

    def __init__(self, data: bytes) -> None:
        name, self._stream = _workbook_stream(streams(data))
        _check_sizes(self._stream)
        self._calamine = _guarded(lambda: _open(compound_file(name, self._stream)))
        self._globals = _Globals.of(self._stream)
        self.sheets = tuple(_sheets(self._calamine))

    def is_filled(self, name: str) -> bool:
        """Return whether a sheet has any value."""
        return any(kind in _CELLS or kind == _MULRK for kind, _ in self._records_of(name))

    def read(self, name: str) -> SheetContent:
        """Return the cells of a sheet. Raises DatasetInvalid when it is damaged."""
        reader = _SheetReader(self._globals)
        for row, values in enumerate(self._values(name)):
            for column, value in enumerate(values):
                cell = _text(value)
                if cell is not None:
                    reader.content.put(row, column, cell)
        for kind, content in self._records_of(name):
            try:
                reader.take(kind, content)
            except struct.error as error:
                raise damaged() from error
        return reader.content

    def _values(self, name: str) -> Sequence[Sequence[object]]:
        sheet = _guarded(lambda: self._calamine.get_sheet_by_name(name))
        return _guarded(lambda: sheet.to_python(skip_empty_area=False))

    def _records_of(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Yield the records of a sheet, without those of its charts."""
        names = [found.name for found in self._calamine.sheets_metadata]
        offset = dict(zip(names, self._globals.offsets, strict=False)).get(name, len(self._stream))
        depth = 0
        for kind, content in _records(self._stream, offset):
            depth += (kind == _BEGIN) - (kind == _END)
            if depth == 0:
                return
            if depth == 1:
                yield kind, content


def _workbook_stream(found: dict[str, bytes]) -> tuple[str, bytes]:
    """Return the name and content of the workbook; a password-protected XLSX is an OLE2 file too."""
    if "EncryptedPackage" in found:
        raise protected()
    for name in ("Workbook", "Book"):
        if name in found:
            return name, found[name]
    raise invalid("not-a-table", "This is an Office document but not a workbook. Save the table as .xlsx or .csv.")


def _guarded(action: Callable[[], T]) -> T:
    """Call calamine and turn its exceptions into DatasetInvalid."""
    from python_calamine import CalamineError, PasswordError

    try:
        return action()
    except PasswordError as error:
        raise protected() from error
    except CalamineError as error:
        raise damaged() from error
    except BaseException as error:
        # A panic in Rust code is not an Exception; it would get past every other handler and end the process.
        if type(error).__name__ != "PanicException":
            raise
        raise damaged() from error


def _open(data: bytes) -> CalamineWorkbook:
    from python_calamine import CalamineWorkbook

    return CalamineWorkbook.from_filelike(io.BytesIO(data))


def _sheets(workbook: CalamineWorkbook) -> Iterator[Sheet]:
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    for found in workbook.sheets_metadata:
        if found.typ == SheetTypeEnum.WorkSheet:
            yield Sheet(found.name, is_hidden=found.visible != SheetVisibleEnum.Visible)


def _text(value: object) -> Cell:
    """Return the cell for a value that does not depend on a number format."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return line_breaks(value) if isinstance(value, str) and value else None


_BEGIN, _END, _PASSWORD, _DATE_MODE = 0x0809, 0x000A, 0x002F, 0x0022
_SHEET, _FORMAT, _CELL_STYLE = 0x0085, 0x041E, 0x00E0
_ROW, _COLUMNS, _MERGED = 0x0208, 0x007D, 0x00E5
_FORMULA, _NUMBER, _ERROR, _RK, _MULRK = 0x0006, 0x0203, 0x0205, 0x027E, 0x00BD
_CELLS = frozenset({_FORMULA, _NUMBER, 0x0204, _ERROR, _RK, 0x00D6, 0x00FD})  # these begin with row and column
_NEW_VERSION = 0x0600  # BIFF8, since 1997
_ERRORS = {
    0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?", 0x24: "#NUM!", 0x2A: "#N/A",
}  # fmt: skip


def _records(stream: bytes, position: int = 0) -> Iterator[tuple[int, bytes]]:
    while position + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, position)
        yield kind, stream[position + 4 : position + 4 + length]
        position += 4 + length


def _check_sizes(stream: bytes) -> None:
    """Raise DatasetInvalid when the workbook needs a password or one of its sheets is too large."""
    sheet = SheetContent()
    for kind, content in _records(stream):
        if kind == _PASSWORD:
            raise protected()
        if kind == _BEGIN:
            sheet = SheetContent()
        elif kind in _CELLS and len(content) >= 4:
            row, column = struct.unpack_from("<HH", content)
            sheet.count(row, column, characters=0)
        elif kind == _MULRK and len(content) >= 6:  # several numbers in one row; the last column is at the end
            row, column = struct.unpack_from("<HH", content)
            last = max(column, struct.unpack_from("<H", content, len(content) - 2)[0])
            sheet.count(row, last, characters=0, times=last - column + 1)


@dataclass(slots=True)
class _Globals:
    """What the first part of the workbook says about all sheets."""

    offsets: list[int] = field(default_factory=list)  # of the sheets in the stream
    codes: dict[int, str] = field(default_factory=lambda: dict(BUILT_IN_FORMATS))
    styles: list[int] = field(default_factory=list)  # number format of each cell style
    is_1904: bool = False

    @classmethod
    def of(cls, stream: bytes) -> _Globals:
        """Read the records before the first sheet. Raises DatasetInvalid when they are damaged."""
        found, is_new = cls(), True
        try:
            for kind, content in _records(stream):
                if kind == _BEGIN:
                    is_new = struct.unpack_from("<H", content)[0] >= _NEW_VERSION
                elif kind == _END:
                    break
                found._take(kind, content, is_new)
        except struct.error as error:
            raise damaged() from error
        return found

    def _take(self, kind: int, content: bytes, is_new: bool) -> None:
        if kind == _SHEET:
            self.offsets.append(struct.unpack_from("<I", content)[0])
        elif kind == _CELL_STYLE:
            self.styles.append(struct.unpack_from("<H", content, 2)[0])
        elif kind == _DATE_MODE:
            self.is_1904 = content[:1] == b"\1"
        elif kind == _FORMAT:
            number = struct.unpack_from("<H", content)[0]
            if is_new:
                is_wide = content[4:5] == b"\1"
                self.codes[number] = content[5:].decode("utf-16-le" if is_wide else "latin-1", "replace")
            else:
                self.codes[number] = content[3:].decode("cp1252", "replace")

    def code(self, style: int) -> str:
        """Return the format code of a cell style."""
        return self.codes.get(self.styles[style], GENERAL) if style < len(self.styles) else GENERAL


class _SheetReader:
    """Puts numbers and errors into the content of a sheet, record by record."""

    def __init__(self, found: _Globals) -> None:
        self.content = SheetContent()
        self._globals = found

    def take(self, kind: int, content: bytes) -> None:
        """Raises struct.error for a record that is cut off."""
        if kind == _NUMBER:
            self._put_number(*struct.unpack_from("<HHHd", content))
        elif kind == _RK:
            row, column, style, packed = struct.unpack_from("<HHHI", content)
            self._put_number(row, column, style, _unpacked(packed))
        elif kind == _MULRK:
            row, first = struct.unpack_from("<HH", content)
            for column, (style, packed) in enumerate(struct.iter_unpack("<HI", content[4:-2]), start=first):
                self._put_number(row, column, style, _unpacked(packed))
        elif kind == _FORMULA:
            self._take_formula(content)
        elif kind == _ERROR:
            row, column, _, code, is_error = struct.unpack_from("<HHHBB", content)
            if is_error:
                self._put_error(row, column, code)
        else:
            self._take_layout(kind, content)

    def _take_formula(self, content: bytes) -> None:
        row, column, style, value = struct.unpack_from("<HHH8s", content)
        if value[6:] != b"\xff\xff":
            self._put_number(row, column, style, struct.unpack("<d", value)[0])
        elif value[0] == 2:
            self._put_error(row, column, value[2])

    def _take_layout(self, kind: int, content: bytes) -> None:
        if kind == _ROW:
            row, height, flags = struct.unpack_from("<H4xH4xB", content)
            if flags & 0x20 or height == 0:
                self.content.hide_rows(row, row)
        elif kind == _COLUMNS:
            first, last, width, flags = struct.unpack_from("<HHH2xB", content)
            if flags & 1 or width == 0:
                self.content.hide_columns(first, last)
        elif kind == _MERGED:
            for first_row, last_row, first_column, last_column in struct.iter_unpack("<HHHH", _whole(content[2:], 8)):
                self.content.merged.append((first_row, first_column, last_row, last_column))

    def _put_number(self, row: int, column: int, style: int, value: float) -> None:
        shown = show(value, self._globals.code(style), is_1904=self._globals.is_1904)
        if shown.text:
            self.content.put(row, column, shown.text)
        if shown.doubt is not None:
            self.content.doubts[row, column] = shown.doubt

    def _put_error(self, row: int, column: int, code: int) -> None:
        self.content.put(row, column, BadCell("cell-error", f"the error {_ERRORS.get(code, code)}, not text."))


def _unpacked(packed: int) -> float:
    """Return the number in an RK value: 30 bits of an integer or a float, possibly in hundredths."""
    if packed & 2:
        number = float(struct.unpack("<i", struct.pack("<I", packed))[0] >> 2)
    else:
        number = struct.unpack("<d", struct.pack("<II", 0, packed & 0xFFFFFFFC))[0]
    return number / 100 if packed & 1 else number


def _whole(content: bytes, size: int) -> bytes:
    return content[: len(content) // size * size]


_END_OF_CHAIN, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_ENTRY_BYTES = 128
_STREAM, _ROOT = 2, 5
_MINI_SECTOR_BYTES = 64
_MINI_STREAM_BELOW_BYTES = 4096
_DIFAT_IN_HEADER = 109
_SECTOR_BYTES = 512  # of what is written here


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    kind: int
    start: int
    size: int


def streams(data: bytes) -> dict[str, bytes]:
    """Return the streams of the file by name. Raises DatasetInvalid when it is damaged."""
    try:
        return _Reader(data).streams()
    except (struct.error, IndexError, ValueError) as error:
        raise invalid("damaged-workbook", "The workbook is damaged or cut off. Save it again.") from error


def compound_file(name: str, content: bytes) -> bytes:
    """Return a compound file with this single stream."""
    size = max(len(content), _MINI_STREAM_BELOW_BYTES)  # shorter streams would need mini sectors
    content = content.ljust(-(-size // _SECTOR_BYTES) * _SECTOR_BYTES, b"\0")
    sectors = len(content) // _SECTOR_BYTES
    fat_sectors = next(count for count in range(1, _DIFAT_IN_HEADER + 1) if count * 128 >= count + 1 + sectors)
    first = fat_sectors + 1
    fat = [_FAT] * fat_sectors + [_END_OF_CHAIN, *range(first + 1, first + sectors), _END_OF_CHAIN]
    fat += [_FREE] * (fat_sectors * 128 - len(fat))
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6,
        0, fat_sectors, fat_sectors, 0, _MINI_STREAM_BELOW_BYTES, _END_OF_CHAIN, 0, _END_OF_CHAIN, 0,
    )  # fmt: skip
    difat = [*range(fat_sectors), *[_FREE] * (_DIFAT_IN_HEADER - fat_sectors)]
    directory = _entry("Root Entry", _ROOT, 1, _END_OF_CHAIN, 0) + _entry(name, _STREAM, _FREE, first, size)
    tables = struct.pack(f"<{len(difat)}I", *difat) + struct.pack(f"<{len(fat)}I", *fat)
    return header + tables + directory.ljust(_SECTOR_BYTES, b"\0") + content


class _Reader:
    """Follows chains of sectors; no chain is longer than the number of sectors."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bytes = 1 << struct.unpack_from("<H", data, 30)[0]
        if self._bytes not in (512, 4096):
            raise ValueError("sector size")
        self._first_directory, self._first_mini_fat = (struct.unpack_from("<I", data, at)[0] for at in (48, 60))
        self._fat = self._numbers(b"".join(map(self._sector, self._fat_sectors())))

    def streams(self) -> dict[str, bytes]:
        entries = list(self._entries())
        root = next((entry for entry in entries if entry.kind == _ROOT), None)
        if root is None:
            raise ValueError("no root")
        mini_stream = self._chain(root.start)
        mini_fat = self._numbers(self._chain(self._first_mini_fat))
        return {entry.name: self._content(entry, mini_stream, mini_fat) for entry in entries if entry.kind == _STREAM}

    def _fat_sectors(self) -> Iterator[int]:
        """Yield the sectors with the table of chains: 109 in the header, the others in a separate chain."""
        yield from (number for number in struct.unpack_from("<109I", self._data, 76) if number < _FAT)
        following = struct.unpack_from("<I", self._data, 68)[0]
        for _ in range(len(self._data) // self._bytes):
            if following >= _FAT:
                return
            *numbers, following = self._numbers(self._sector(following))
            yield from (number for number in numbers if number < _FAT)

    def _entries(self) -> Iterator[_Entry]:
        directory = self._chain(self._first_directory)
        for at in range(0, len(directory) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            name_bytes, kind = struct.unpack_from("<HB", directory, at + 64)
            start, size = struct.unpack_from("<II", directory, at + 116)
            name = directory[at : at + max(0, min(name_bytes, 64) - 2)].decode("utf-16-le", "replace")
            yield _Entry(name, kind, start, size)

    def _content(self, entry: _Entry, mini_stream: bytes, mini_fat: list[int]) -> bytes:
        if entry.size >= _MINI_STREAM_BELOW_BYTES:
            return self._chain(entry.start)[: entry.size]
        sectors = _follow(entry.start, mini_fat)
        parts = (mini_stream[at * _MINI_SECTOR_BYTES : (at + 1) * _MINI_SECTOR_BYTES] for at in sectors)
        return b"".join(parts)[: entry.size]

    def _chain(self, start: int) -> bytes:
        return b"".join(map(self._sector, _follow(start, self._fat)))

    def _sector(self, number: int) -> bytes:
        begin = (number + 1) * self._bytes
        if begin >= len(self._data):
            raise ValueError("sector beyond the end")
        return self._data[begin : begin + self._bytes]

    def _numbers(self, table: bytes) -> list[int]:
        return list(struct.unpack_from(f"<{len(table) // 4}I", table))


def _follow(start: int, table: list[int]) -> Iterator[int]:
    """Yield the sectors of a chain. Raises ValueError for a cycle."""
    steps = 0
    while start < _FAT:
        yield start
        start, steps = table[start], steps + 1
        if steps > len(table):
            raise ValueError("circle")


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    encoded = name.encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16xI16xIII",
        encoded, len(encoded) + 2, kind, 1, _FREE, _FREE, child, 0, start, size, 0,
    )  # fmt: skip
