"""Bytes to text: marks, guesses, and encodings that the caller names."""

from __future__ import annotations

import codecs
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.data.tables import decode
from tunery.errors import DatasetInvalid, InvalidArgument

TEXT = "text,label\nGrüße,hallo\n日本,x\n"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_marks_are_certain(mark: bytes, encoding: str) -> None:
    """UTF-8 with and without a mark, UTF-16 and UTF-32 with one are read without a warning."""
    decoded = decode(mark + TEXT.encode(encoding))

    assert (decoded.text, decoded.encoding, decoded.problems) == (TEXT, encoding, ())


def test_another_encoding_is_a_guess_that_is_said() -> None:
    """Latin-1 bytes are read as Windows-1252 with a warning that names the line."""
    decoded = decode("text,label\na,b\nGrüße,€\n".encode("cp1252"))

    assert decoded.text == "text,label\na,b\nGrüße,€\n"
    assert decoded.is_guessed
    assert str(decoded.problems[0]).startswith("Row 3: not UTF-8 (byte 0xFC); read as cp1252, which is a guess")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_a_guess(encoding: str) -> None:
    """NUL in every other byte gives UTF-16 away, with a warning."""
    decoded = decode("text,label\nhello,you\n".encode(encoding))

    assert decoded.text == "text,label\nhello,you\n"
    assert (decoded.encoding, decoded.is_guessed) == (encoding, True)


def test_bytes_of_no_known_encoding_are_refused() -> None:
    """What is neither UTF-8 nor Windows-1252 asks for the name of the encoding."""
    with pytest.raises(DatasetInvalid, match=r"Row 2: not UTF-8 \(byte 0x81\).* Name the encoding"):
        decode(b"text,label\n\x81\x8d,b\n")


def test_a_named_encoding_is_used() -> None:
    """What the caller names is certain."""
    decoded = decode("текст,метка\n".encode("cp1251"), "windows-1251")

    assert (decoded.text, decoded.encoding, decoded.problems) == ("текст,метка\n", "cp1251", ())


def test_bytes_that_do_not_fit_the_named_encoding_are_refused() -> None:
    """The line of the first wrong byte is named."""
    with pytest.raises(DatasetInvalid, match="Row 2: not ascii"):
        decode("a,b\nä,c\n".encode(), "ascii")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13", "idna", "punycode", "unicode_escape", "", "a\0b"])
def test_what_is_no_encoding_is_refused(encoding: str) -> None:
    """Unknown names and ways of escaping are no encodings of files."""
    with pytest.raises(InvalidArgument):
        decode(b"a,b", encoding)


def test_half_characters_are_left_to_the_checks_of_cells() -> None:
    """A lone surrogate comes through, so that its row and column can be named."""
    assert decode(b"a,\xed\xa0\x80").text == "a,\ud800"


@settings(deadline=None)
# UTF-16 that begins with NUL looks like UTF-32.
@given(
    st.text(min_size=1).filter(lambda text: not text.startswith("\0")),
    st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]),
)
def test_every_text_comes_back(text: str, encoding: str) -> None:
    """What Python writes with a mark is read back."""
    assert decode(text.encode(encoding)).text == text


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_text_or_a_sentence(data: bytes) -> None:
    """No bytes lead to another exception than DatasetInvalid."""
    with suppress(DatasetInvalid):
        decode(data)
