"""
Measures the sheets of an XLS workbook (MS-XLS) for `workbooks`; reads no values.

Shared texts are not counted: one long text in many cells is stopped only by the memory limit of `guarded`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tunery.engine.data.archives import protected
from tunery.engine.data.sheet_scan import SheetScan

_BEGIN, _PASSWORD = 0x0809, 0x002F
_CELLS = frozenset({0x0006, 0x0203, 0x0204, 0x0205, 0x027E, 0x00D6, 0x00FD})  # records that begin with row and column
_CELL_ROWS = frozenset({0x00BD})  # MULRK: several numbers of one row; the last column stands at the end


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
