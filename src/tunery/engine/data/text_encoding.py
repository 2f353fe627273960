"""
Bytes to text: UTF-8, UTF-16 and UTF-32 by their marks, anything else as a guess that is said aloud.

It knows nothing of tables. NUL characters and lone surrogates are let through on purpose: the checks of the
cells name the row and column they stand in.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from tunery.engine.data.tables import invalid, warning
from tunery.errors import InvalidArgument
from tunery.problems import DataProblem

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Names that Python takes for encodings but that are ways of escaping text; some need quadratic time.
_NOT_ENCODINGS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "mbcs", "oem"})


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text, the encoding it was read with, and a warning when that was a guess."""

    text: str
    encoding: str
    problems: tuple[DataProblem, ...] = ()

    @property
    def is_guessed(self) -> bool:
        return bool(self.problems)


def decode(data: bytes, encoding: str | None = None) -> DecodedText:
    """
    Return `data` as text without its byte order mark.

    A mark wins over nothing given; a given `encoding` wins over everything. Raises DatasetInvalid when the bytes
    do not fit, InvalidArgument when there is no such encoding.
    """
    if encoding is not None:
        return _decode_as(data, _known(encoding))
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _decode_as(data, name)
    wide = _wide_encoding(data)
    if wide is not None:
        note = _guess(wide, "There is no byte order mark", row=None)
        return DecodedText(_decode_as(data, wide).text, wide, (note,))
    try:
        return DecodedText(data.decode("utf-8", "surrogatepass"), "utf-8")
    except UnicodeDecodeError as error:
        return _guess_single_byte(data, error.start)


def _decode_as(data: bytes, encoding: str) -> DecodedText:
    errors = "surrogatepass" if encoding.startswith("utf-") and encoding != "utf-7" else "strict"
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        raise invalid("encoding", f"not {encoding}. Name the encoding of the file.", row=line) from error
    return DecodedText(text.removeprefix("\ufeff"), encoding)


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        b" ".decode(name, "ignore")  # refuses what is no text encoding, such as base64
    except (LookupError, ValueError) as error:
        raise InvalidArgument(f"There is no text encoding named {encoding!r}.") from error
    if name.replace("_", "-") in _NOT_ENCODINGS:
        raise InvalidArgument(f"{encoding!r} cannot be used as the encoding of a file.")
    return name


def _wide_encoding(data: bytes) -> str | None:
    """Name UTF-16 without a mark by its NUL bytes: every other byte of western text is one."""
    sample = data[:4096]
    half = len(sample) // 2
    if half < 2:
        return None
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.4 and even < 0.1:
        return "utf-16-le"
    if even > 0.4 and odd < 0.1:
        return "utf-16-be"
    return None


def _guess_single_byte(data: bytes, first_bad: int) -> DecodedText:
    line = _line_of(data, first_bad)
    why = f"not UTF-8 (byte 0x{data[first_bad]:02X})"
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        message = f"{why} and not Windows-1252 either. Name the encoding of the file."
        raise invalid("encoding", message, row=line) from error
    return DecodedText(text, "cp1252", (_guess("cp1252", why, row=line),))


def _guess(encoding: str, why: str, row: int | None) -> DataProblem:
    message = f"{why}; read as {encoding}, which is a guess. Name the encoding if it is wrong."
    return warning("guessed-encoding", message, row=row)


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
