"""OLE2 files: streams out, a clean file in."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import made_workbooks as made
from tunery.data.xls import compound_file, streams
from tunery.errors import DatasetInvalid


@pytest.mark.parametrize("size", [0, 1, 4_095, 4_096, 4_097, 100_000, 4_000_000])
def test_streams_of_all_sizes_come_back(size: int) -> None:
    """Shorter ones are filled with zeros to 4,096 bytes."""
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    found = streams(compound_file("Workbook", content))

    assert found == {"Workbook": content.ljust(4_096, b"\0")}


def test_all_streams_are_found() -> None:
    """By their names, each with its own content."""
    file = made.compound_file({"One": b"1" * 5_000, "Two": b"2" * 6_000, "Three": b"3" * 4_096, "Four": b"4" * 9_000})

    assert {name: content[:1] for name, content in streams(file).items()} == {
        "One": b"1",
        "Two": b"2",
        "Three": b"3",
        "Four": b"4",
    }


def test_a_circle_is_damage() -> None:
    """A chain of sectors that comes back to itself is not followed for ever."""
    with pytest.raises(DatasetInvalid, match="damaged or cut off"):
        streams(made.circular_xls())


@settings(deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=6))
def test_damage_gives_a_sentence(position: int, garbage: bytes) -> None:
    """Whatever bytes are overwritten, there are streams or a DatasetInvalid."""
    data = bytearray(FILE)
    position %= len(data)
    data[position : position + len(garbage)] = garbage

    with suppress(DatasetInvalid):
        streams(bytes(data))


@settings(deadline=None)
@given(st.binary(max_size=2_000))
def test_any_bytes_give_a_sentence(data: bytes) -> None:
    """Random bytes after the mark lead to no other exception."""
    with suppress(DatasetInvalid):
        streams(FILE[:8] + data)


FILE = made.xls([["text", "label"], ["a", "b"]])
