"""Limits on zip archives."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import made_workbooks as made
from tunery.data.workbook_limits import unpack
from tunery.errors import DatasetInvalid


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return target.getvalue()


def test_only_xml_is_unpacked() -> None:
    """Pictures and macros are not even inflated."""
    assert unpack(archive({"a.xml": b"<a/>", "b.rels": b"b", "mimetype": b"m", "c.png": b"c", "d.bin": b"d"})) == {
        "a.xml": b"<a/>",
        "b.rels": b"b",
        "mimetype": b"m",
    }


def test_declared_sizes_are_limited() -> None:
    """More than 64 MB when unpacked is refused before anything is unpacked."""
    with pytest.raises(DatasetInvalid, match="67,109,888 bytes when unpacked, limit 67,108,864"):
        unpack(archive({f"{number}.bin": b"\0" * 2**20 for number in range(64)} | {"more.bin": b"\0" * 1024}))


def test_the_ratio_is_limited() -> None:
    """A large member that is packed more than 100 to 1 is refused; a small one may be regular."""
    with pytest.raises(DatasetInvalid, match="to 1, limit 100"):
        unpack(archive({"a.xml": b"\0" * 2**20}))
    assert len(unpack(archive({"a.xml": b"\0" * (2**20 - 1)}))) == 1


def test_the_number_of_members_is_limited() -> None:
    """1,000 members pass, one more does not."""
    unpack(archive({f"{number}.xml": b"" for number in range(1_000)}))
    with pytest.raises(DatasetInvalid, match="1,001 parts, limit 1,000"):
        unpack(archive({f"{number}.xml": b"" for number in range(1_001)}))


def test_a_member_that_is_larger_than_declared_is_damaged() -> None:
    """A declared size that lies does not let more through."""
    honest = archive({"a.xml": b"x" * 5_000_000})
    lying = honest.replace(struct.pack("<I", 5_000_000), struct.pack("<I", 1_000))

    with pytest.raises(DatasetInvalid, match="damaged or cut off"):
        unpack(lying)


def test_a_password_is_named() -> None:
    """An encrypted member is told apart from a damaged one."""
    data = bytearray(archive({"a.xml": b"x"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1

    with pytest.raises(DatasetInvalid, match="protected with a password"):
        unpack(bytes(data))


@settings(deadline=None)
@given(st.integers(0, 5_000), st.binary(min_size=1, max_size=4))
def test_damage_gives_a_sentence(position: int, garbage: bytes) -> None:
    """Whatever bytes are overwritten, there are members or a DatasetInvalid."""
    data = bytearray(WORKBOOK)
    position %= len(data)
    data[position : position + len(garbage)] = garbage

    with suppress(DatasetInvalid):
        unpack(bytes(data))


WORKBOOK = made.xlsx(("Sheet", [["text", "label"], ["a", "b"]]))
