"""Numbers, errors and formats of old .xls workbooks; texts are read by calamine."""

from __future__ import annotations

import struct

import pytest

from tests.data import made_workbooks as made
from tunery.data.tables import BadCell, Table, TableOptions
from tunery.data.workbooks import read_workbook
from tunery.errors import DatasetInvalid

FORMATS = ("General", "00000", "0%", "# ?/8", "dd.mm.yyyy")
GLOBALS = b"".join(
    made.record(0x041E, struct.pack("<HHB", 164 + at, len(code), 0) + code.encode()) for at, code in enumerate(FORMATS)
) + b"".join(made.record(0x00E0, struct.pack("<HH16x", 0, 164 + at)) for at in range(len(FORMATS)))


def read(*records: tuple[int, bytes], workbook: bytes = GLOBALS) -> Table:
    sheet = b"".join(made.record(kind, content) for kind, content in records)
    return read_workbook(made.xls_of_records(sheet, workbook), TableOptions(header=False))


def number(row: int, style: int, value: float) -> tuple[int, bytes]:
    return 0x0203, struct.pack("<HHHd", row, 0, style, value)


def test_number_formats_are_followed() -> None:
    """As in an .xlsx, and with the same words where a format is not followed."""
    table = read(number(0, 1, 2494.0), number(1, 2, 0.25), number(2, 4, 45000.0), number(3, 3, 0.5), number(4, 0, 7.0))

    assert [row.cells[0] for row in table.rows] == ["02494", "25%", "15.03.2023", "0.5", "7"]
    assert [str(problem) for problem in table.problems] == [
        "Row 4, column 1: the number format '# ?/8' is not supported; it was read as '0.5'."
    ]


def test_packed_numbers() -> None:
    """Whole numbers, hundredths and floats in 30 bits, one by one and several in a record."""
    whole, hundredths = 2494 << 2 | 2, 125 << 2 | 3
    floating = struct.unpack("<I", struct.pack("<d", 0.25)[4:])[0]
    negative = (-5 << 2 | 2) & 0xFFFFFFFF
    several = struct.pack("<HH", 1, 0) + struct.pack("<HIHI", 1, whole, 0, negative) + struct.pack("<H", 1)

    table = read(
        (0x027E, struct.pack("<HHHI", 0, 0, 0, hundredths)),
        (0x027E, struct.pack("<HHHI", 0, 1, 2, floating)),
        (0x00BD, several),
    )

    assert [row.cells for row in table.rows] == [("1.25", "25%"), ("02494", "-5")]


def test_formulas_and_errors() -> None:
    """A formula is the number it gave; errors are bad cells."""
    table = read(
        (0x0006, struct.pack("<HHHd", 0, 0, 1, 42.0) + bytes(8)),
        (0x0006, struct.pack("<HHHBBBBBBH", 1, 0, 0, 2, 0, 0x07, 0, 0, 0, 0xFFFF) + bytes(8)),
        (0x0205, struct.pack("<HHHBB", 2, 0, 0, 0x2A, 1)),
        (0x0205, struct.pack("<HHHBB", 3, 0, 0, 1, 0)),
    )

    assert [row.cells[0] for row in table.rows] == [
        "00042",
        BadCell("cell-error", "the error #DIV/0!, not text."),
        BadCell("cell-error", "the error #N/A, not text."),
        "TRUE",
    ]


def test_numbers_of_a_chart_are_no_cells() -> None:
    """A chart in a sheet brings records of its own."""
    begin, end = (0x0809, struct.pack("<HHHHII", 0x0600, 0x0020, 0, 0, 0, 0)), (0x000A, b"")

    table = read(number(0, 0, 1.0), begin, number(5, 0, 99.0), end, number(1, 0, 2.0))

    assert [row.cells[0] for row in table.rows] == ["1", "2"]


def test_days_since_1904() -> None:
    """The workbook says how its dates count."""
    table = read(number(0, 4, 1.0), workbook=GLOBALS + made.record(0x0022, b"\1\0"))

    assert table.rows[0].cells[0] == "02.01.1904"


@pytest.mark.parametrize("kind", [0x0203, 0x027E, 0x0205])
def test_a_cut_record_is_damage(kind: int) -> None:
    """The sentence is that of any damaged workbook."""
    with pytest.raises(DatasetInvalid, match="damaged"):
        read(number(0, 0, 1.0), (kind, b"\0\0\0\0"))
