"""
Unpacks untrusted workbooks, parses their XML and stores their cells, all within limits.

The declared sizes are checked first, and the real ones while inflating; cells are counted before they are stored.
"""

from __future__ import annotations

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.parsers import expat

from tunery.data.tables import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, Cell, invalid

# The reason for these limits: a workbook of 0.39 MB was seen to unpack to 400 MB and to take 1,183 MB of memory.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
MAX_RATIO = 100
MAX_MEMBERS = 1_000

# Small members may have a very high ratio; only large ones do harm.
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
        name = member.filename.replace("\\", "/")  # the way some programs on Windows write it
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


# Every cell can refer to the same long text in the table of shared strings.
MAX_TEXT_CHARACTERS = 64 * 1024 * 1024

Attributes = dict[str, str]
Area = tuple[int, int, int, int]  # first row, first column, last row, last column, from 0


@dataclass(slots=True)
class SheetContent:
    """
    The cells of one sheet as it shows them, by row and column from 0, and its hidden rows and columns.

    `doubts` says why a spreadsheet may show a different text for a cell.
    """

    cells: dict[int, dict[int, Cell]] = field(default_factory=dict)
    doubts: dict[tuple[int, int], str] = field(default_factory=dict)
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[Area] = field(default_factory=list)
    rows: int = 0
    columns: int = 0
    _count: int = 0
    _characters: int = 0

    def put(self, row: int, column: int, cell: Cell, *, rows: int = 1, columns: int = 1) -> None:
        """
        Put a cell into this place and, if repeated, into those below and to the right. Raises DatasetInvalid above the
        limits.
        """
        self.count(row + rows - 1, column + columns - 1, len(cell) if isinstance(cell, str) else 0, rows * columns)
        for below in range(row, row + rows):
            line = self.cells.setdefault(below, {})
            for beside in range(column, column + columns):
                line[beside] = cell

    def count(self, row: int, column: int, characters: int, times: int = 1) -> None:
        """Count a filled cell, the last in a block of `times`. Raises DatasetInvalid above the limits."""
        if row < 0 or column < 0:
            raise damaged()
        self.rows, self.columns = max(self.rows, row + 1), max(self.columns, column + 1)
        self._count += times
        if self.rows > MAX_ROWS + 1:
            message = f"The sheet reaches to row {self.rows:,} or further, limit {MAX_ROWS + 1:,}."
            raise invalid("too-many-rows", message, limit=MAX_ROWS + 1, actual=self.rows)
        area = max(self._count, self.rows * self.columns)
        if area > MAX_CELLS:
            message = f"The sheet spans {self.rows:,} rows and {self.columns:,} columns, limit {MAX_CELLS:,} cells."
            raise invalid("too-many-cells", message, limit=MAX_CELLS, actual=area)
        self.count_characters(characters * times)

    def count_characters(self, characters: int) -> None:
        """Count text before it is stored. Raises DatasetInvalid above the limit."""
        self._characters += characters
        if self._characters > MAX_TEXT_CHARACTERS:
            message = f"The sheet holds more than {MAX_TEXT_CHARACTERS:,} characters."
            raise invalid("too-much-text", message, limit=MAX_TEXT_CHARACTERS, actual=self._characters)

    def hide_rows(self, first: int, last: int) -> None:
        """Note hidden rows; rows beyond the limits are empty."""
        self.hidden_rows.update(range(first, min(last, MAX_ROWS) + 1))

    def hide_columns(self, first: int, last: int) -> None:
        """Note hidden columns; columns beyond the limits are empty."""
        self.hidden_columns.update(range(first, min(last, MAX_COLUMNS) + 1))


def line_breaks(text: str) -> str:
    """Return a cell's text with plain line feeds."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def damaged() -> Exception:
    """Return the error for a workbook that cannot be read."""
    return invalid("damaged-workbook", "The workbook is damaged. Save it again.")


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
        raise damaged() from error


@functools.lru_cache(maxsize=256)  # a sheet can have a million elements with only five names
def local(name: str) -> str:
    """Return the name without its namespace."""
    return name.rpartition(" ")[2]


def _refuse_document_type(*_: object) -> None:
    raise ValueError("document type")
