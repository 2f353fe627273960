"""
OLE2 compound files (MS-CFB), the container of XLS: takes one stream out and puts it into a clean file.

The reader of workbooks follows whatever chain of sectors it finds: a damaged file of 5 kB, whose chain was a circle,
took all memory of a machine. So chains are followed here, with an end, and the reader gets a file of our making.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tunery.engine.data.tables import invalid

_END_OF_CHAIN, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_ENTRY_BYTES = 128
_STREAM, _ROOT = 2, 5
_MINI_SECTOR_BYTES = 64
_MINI_STREAM_BELOW_BYTES = 4096
_DIFAT_IN_HEADER = 109
_SECTOR_BYTES = 512  # of what is written


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
    """Return a file with this one stream."""
    size = max(len(content), _MINI_STREAM_BELOW_BYTES)  # shorter streams would need a second kind of sectors
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
    """Follows the chains of sectors; none can be longer than the file has sectors."""

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
        """Yield the sectors that hold the table of chains: 109 in the header, the others in a chain of their own."""
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
    """Yield the sectors of a chain. Raises ValueError when it is a circle."""
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
