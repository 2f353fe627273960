"""
Unpacks and measures untrusted workbooks (zip, OLE2, XML, BIFF) within limits, before the reader sees them.

Sizes are checked as declared and again while inflating, and the counted members are repacked, so that the reader sees
only what was counted.
"""

from __future__ import annotations

import functools
import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from tunery.data.tables import MAX_CELLS, MAX_ROWS, invalid

# Limits of docs/design.md: a 0.39 MB workbook was seen to unpack to 400 MB and to take 1,183 MB of memory.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
MAX_RATIO = 100
MAX_MEMBERS = 1_000

# Small members may compress very well; only large ones do harm.
_RATIO_MATTERS_FROM_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    NotImplementedError,
    KeyError,
)


def unpack(data: bytes) -> dict[str, bytes]:
    """
    Return the XML members and the media type of the archive by name.

    Raises DatasetInvalid for an archive that is truncated, damaged, protected or too large when unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_declared(archive.infolist())
            return _inflate(archive)
    except _DAMAGED as error:
        raise invalid("damaged-archive", "The workbook is damaged or cut off. Save it again.") from error


def pack(members: dict[str, bytes]) -> bytes:
    """Return an uncompressed archive of these members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def _check_declared(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        message = f"The workbook has {len(members):,} parts, limit {MAX_MEMBERS:,}."
        raise invalid("archive-members", message, limit=MAX_MEMBERS, actual=len(members))
    if any(member.flag_bits & 1 for member in members):
        raise protected()
    _check_unpacked(sum(member.file_size for member in members))
    for member in members:
        ratio = member.file_size // max(1, member.compress_size)
        if member.file_size >= _RATIO_MATTERS_FROM_BYTES and ratio > MAX_RATIO:
            message = f"A part of the workbook is packed {ratio:,} to 1, limit {MAX_RATIO}."
            raise invalid("archive-ratio", message, limit=MAX_RATIO, actual=ratio)


def protected() -> Exception:
    """Return the error for a password-protected workbook."""
    return invalid("protected", "The workbook is protected with a password. Save it without one.")


def _inflate(archive: zipfile.ZipFile) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    inflated = 0
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")  # as some programs on Windows write it
        if not name.endswith((".xml", ".rels")) and name != "mimetype":
            continue  # pictures and macros
        content = bytearray()
        with archive.open(member) as source:
            while chunk := source.read(_CHUNK_BYTES):
                inflated += len(chunk)
                _check_unpacked(inflated)
                content += chunk
        members[name] = bytes(content)
    return members


def _check_unpacked(size: int) -> None:
    if size > MAX_UNPACKED_BYTES:
        message = f"The workbook has {size:,} bytes when unpacked, limit {MAX_UNPACKED_BYTES:,}."
        raise invalid("archive-size", message, limit=MAX_UNPACKED_BYTES, actual=size)


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


def scan_ods(members: dict[str, bytes], sheet: str) -> SheetScan:
    """Scan the named sheet. Raises DatasetInvalid when it is too large or not XML."""
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


# Every cell can refer to one long text in the table of shared strings.
MAX_TEXT_CHARACTERS = 64 * 1024 * 1024

Attributes = dict[str, str]


@dataclass(slots=True)
class SheetScan:
    """The size of a sheet, and its cells without a usable value (formulas, errors) by row and column from 0."""

    formulas: set[tuple[int, int]] = field(default_factory=set)
    errors: dict[tuple[int, int], str] = field(default_factory=dict)
    cells: int = 0
    rows: int = 0
    columns: int = 0
    characters: int = 0

    def count(self, row: int, column: int, characters: int, times: int = 1) -> None:
        """Count a filled cell, the last in a block of `times`. Raises DatasetInvalid above the limits."""
        self.rows, self.columns = max(self.rows, row + 1), max(self.columns, column + 1)
        self.cells += times
        self.characters += characters * times
        if self.rows > MAX_ROWS + 1:
            message = f"The sheet reaches to row {self.rows:,} or further, limit {MAX_ROWS + 1:,}."
            raise invalid("too-many-rows", message, limit=MAX_ROWS + 1, actual=self.rows)
        area = max(self.cells, self.rows * self.columns)
        if area > MAX_CELLS:
            message = f"The sheet spans {self.rows:,} rows and {self.columns:,} columns, limit {MAX_CELLS:,} cells."
            raise invalid("too-many-cells", message, limit=MAX_CELLS, actual=area)
        if self.characters > MAX_TEXT_CHARACTERS:
            message = f"The sheet holds more than {MAX_TEXT_CHARACTERS:,} characters."
            raise invalid("too-much-text", message, limit=MAX_TEXT_CHARACTERS, actual=self.characters)


def parse_xml(
    data: bytes,
    start: Callable[[str, Attributes], None] | None = None,
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """
    Parse XML; elements come with their local names, attributes with "namespace name".

    Raises DatasetInvalid when it is not XML. Document types are refused: entities can grow without bound.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    if start is not None:
        parser.StartElementHandler = lambda name, attributes: start(local(name), attributes)
    if end is not None:
        parser.EndElementHandler = lambda name: end(local(name))
    if text is not None:
        parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: unknown encoding
        raise invalid("damaged-workbook", "The workbook is damaged. Save it again.") from error


@functools.lru_cache(maxsize=256)  # a sheet has a million elements of five names
def local(name: str) -> str:
    """Return the name without its namespace."""
    return name.rpartition(" ")[2]


def _refuse_document_type(*_: object) -> None:
    raise ValueError("document type")


_BEGIN, _PASSWORD = 0x0809, 0x002F
_CELLS = frozenset({0x0006, 0x0203, 0x0204, 0x0205, 0x027E, 0x00D6, 0x00FD})  # records that begin with row and column
_CELL_ROWS = frozenset({0x00BD})  # MULRK: several numbers in one row; the last column is at the end


def check_xls(stream: bytes) -> None:
    """Raise DatasetInvalid when the workbook needs a password or one of its sheets is too large."""
    scan = SheetScan()
    for kind, content in _records(stream):
        if kind == _PASSWORD:
            raise protected()
        if kind == _BEGIN:
            scan = SheetScan()
        elif kind in _CELLS and len(content) >= 4:
            row, column = struct.unpack_from("<HH", content)
            scan.count(row, column, characters=0)
        elif kind in _CELL_ROWS and len(content) >= 6:
            row, column = struct.unpack_from("<HH", content)
            last = max(column, struct.unpack_from("<H", content, len(content) - 2)[0])
            scan.count(row, last, characters=0, times=last - column + 1)


def _records(stream: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, position)
        yield kind, stream[position + 4 : position + 4 + length]
        position += 4 + length


_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")


def scan_xlsx(members: dict[str, bytes], sheet: str) -> SheetScan:
    """Scan the named sheet. Raises DatasetInvalid when it is too large or not XML."""
    by_lower_name = {name.lower(): content for name, content in members.items()}  # the reader ignores case
    path = _sheet_path(by_lower_name, sheet).lower()
    scanner = _XlsxScanner(_shared_lengths(by_lower_name.get("xl/sharedstrings.xml", b"")))
    parse_xml(by_lower_name.get(path, b""), scanner.start, scanner.end, scanner.text)
    return scanner.found


class _XlsxScanner:
    """Follows `<row><c><f/><v/></c></row>`; left-out positions follow the previous one."""

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
