"""
A table as read from a file or from records: named columns, numbered rows, and the problems found so far.

Readers (`delimited`, `workbooks`, `json_records`) make tables; `columns` and `checks` turn them into examples. `decode`
turns the bytes of a text file into text.

Row numbers are those a user sees: in CSV and workbooks the record counted from 1 with the header (as a spreadsheet
shows it, even when cells hold line breaks), in JSONL the line, in JSON and in records the element.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument, Level, Reading

# The reader is limited to 512 MB and 10 s. 4 MiB can hold 1,000,000 rows, or rows with a new column each; a million
# cells of a workbook took 10 s to measure and read.
MAX_ROWS = 100_000
MAX_COLUMNS = 256
MAX_CELLS = 400_000

_NAMES_IN_MESSAGE = 10
_MAX_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class BadCell:
    """A cell that is not text; it matters only if its column is used."""

    kind: str
    message: str


Cell = str | BadCell | None  # None: empty


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one record; `number` is the row number that the user sees."""

    number: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of a workbook."""

    name: str
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the caller knows about the file; None means detect it."""

    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    header_row: int | None = None  # as the user counts; the rows above it are left out
    hidden_rows: bool = False  # read the rows that a workbook hides or filters away


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns, and how they were read."""

    format: str  # csv, tsv, xlsx, xls, ods, json, jsonl, aistudio, records
    columns: tuple[str, ...]
    rows: tuple[Row, ...]  # without the header and without blank rows; each as wide as `columns`
    problems: tuple[DataProblem, ...] = ()  # a problem with a column counts only if the column is used
    has_header: bool | None = None  # None: this format has no header row
    encoding: str | None = None
    encoding_is_guessed: bool = False
    delimiter: str | None = None
    sheet: str | None = None
    sheets: tuple[Sheet, ...] = ()

    def without(self, numbers: Collection[int]) -> Table:
        """Return the table without these rows and without the problems in them."""
        rows = tuple(row for row in self.rows if row.number not in numbers)
        problems = tuple(problem for problem in self.problems if problem.row not in numbers)
        return replace(self, rows=rows, problems=problems)


def invalid(
    kind: str,
    message: str,
    *,
    row: int | None = None,
    limit: int | None = None,
    actual: int | None = None,
    option: str | None = None,
    readings: tuple[Reading, ...] = (),
) -> DatasetInvalid:
    """Return the error for data with this single problem."""
    problem = DataProblem(kind, message, row=row, limit=limit, actual=actual, option=option, readings=readings)
    return DatasetInvalid(str(problem), [problem])


def warning(
    kind: str, message: str, *, row: int | None = None, column: str | None = None, option: str | None = None
) -> DataProblem:
    """Return a problem that does not stop tuning."""
    return DataProblem(kind, message, Level.WARNING, row=row, column=column, option=option)


def check_extent(rows: int, columns: int) -> None:
    """Raise DatasetInvalid when there are more rows, columns or cells than can be listed and checked."""
    if rows > MAX_ROWS:
        message = f"There are more than {MAX_ROWS:,} rows. 100 to 500 good examples are enough."
        raise invalid("too-many-rows", message, limit=MAX_ROWS, actual=rows)
    if columns > MAX_COLUMNS:
        message = f"There are {columns:,} columns, limit {MAX_COLUMNS:,}."
        raise invalid("too-many-columns", message, limit=MAX_COLUMNS, actual=columns)
    if rows * columns > MAX_CELLS:
        message = f"{rows:,} rows of {columns:,} columns are {rows * columns:,} cells, limit {MAX_CELLS:,}."
        raise invalid("too-many-cells", message, limit=MAX_CELLS, actual=rows * columns)


def printable(text: str) -> str:
    """Return text safe for terminals and JSON: NUL and lone surrogates become U+FFFD."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def column_name(text: str) -> str:
    """Return a column's name, short enough for messages."""
    return printable(text.strip()[:_MAX_NAME_CHARACTERS])


def listed(names: Sequence[str]) -> str:
    """Return the first ten names for a message, and the number of others."""
    shown = ", ".join(repr(name[:_MAX_NAME_CHARACTERS]) for name in names[:_NAMES_IN_MESSAGE])
    more = len(names) - _NAMES_IN_MESSAGE
    return f"{shown} and {more:,} more" if more > 0 else shown


# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's encodings that are really escapes; some take quadratic time.
_NOT_ENCODINGS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "mbcs", "oem"})


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text, its encoding, and a warning if that was guessed."""

    text: str
    encoding: str
    problems: tuple[DataProblem, ...] = ()

    @property
    def is_guessed(self) -> bool:
        return bool(self.problems)


def decode(data: bytes, encoding: str | None = None) -> DecodedText:
    """
    Return `data` as text without its byte order mark.

    A given `encoding` wins, then a byte order mark. Raises DatasetInvalid when the bytes do not fit, InvalidArgument
    for an unknown encoding.
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
        raise invalid(
            "encoding", f"not {encoding}. Name the encoding of the file.", row=line, option="encoding"
        ) from error
    return DecodedText(text.removeprefix("\ufeff"), encoding)


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        b" ".decode(name, "ignore")  # rejects codecs that are not text encodings, such as base64
    except (LookupError, ValueError) as error:
        raise InvalidArgument(f"There is no text encoding named {encoding!r}.") from error
    if name.replace("_", "-") in _NOT_ENCODINGS:
        raise InvalidArgument(f"{encoding!r} cannot be used as the encoding of a file.")
    return name


def _wide_encoding(data: bytes) -> str | None:
    """Recognise UTF-16 without a mark by its NUL bytes: every other byte of Western text."""
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
        raise invalid("encoding", message, row=line, option="encoding") from error
    return DecodedText(text, "cp1252", (_guess("cp1252", why, row=line),))


def _guess(encoding: str, why: str, row: int | None) -> DataProblem:
    message = f"{why}; read as {encoding}, which is a guess. Name the encoding if it is wrong."
    return warning("guessed-encoding", message, row=row, option="encoding")


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
