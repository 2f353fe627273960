"""
A dataset: the examples of one file or call, read, checked and split.

`Dataset.read` and `Dataset.from_records` report all problems at once; `preview` shows how a file was understood.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from tunery.data.checks import check_rows, order_problems
from tunery.data.columns import choose, mapping_notes
from tunery.data.delimited import read_delimited
from tunery.data.encodings import decode
from tunery.data.json_records import looks_like_json, read_json, read_jsonl, read_records
from tunery.data.markup import declared_encoding, marked_up_reader
from tunery.data.tables import Row, Sheet, Table, TableOptions, invalid, printable
from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument, Level, NotFound, told_together
from tunery.types import MAX_DATASET_BYTES, DataFacts, TuningExample

_PROBLEMS_IN_MESSAGE = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples that are ready for tuning."""

    examples: tuple[TuningExample, ...]
    problems: tuple[DataProblem, ...] = ()  # warnings only
    source: str = "records"  # name of the file, without its folder
    rows: tuple[int, ...] = ()  # row of each example in the file; empty: 1, 2, 3

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        input_column: str | Sequence[str] | None = None,
        output_column: str | None = None,
        sheet: str | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        header_row: int | None = None,
        hidden_rows: bool = False,
        skip_rows: Iterable[int] = (),
        name: str | None = None,
    ) -> Dataset:
        """
        Read CSV, TSV, XLSX, XLS, ODS, JSONL or JSON; options left out are detected.

        Several input columns are joined as lines of "name: text". `header_row` counts from 1, and the rows above it are
        left out; `skip_rows` are left out with their problems; `hidden_rows` reads rows that a workbook hides;
        `name` is the user's name for the file. At most 4 MiB, 40,000 characters of input and 5,000 of output
        (page "Intro to model tuning"). Raises DatasetInvalid with all problems, NotFound, and InvalidArgument.
        """
        source = name or Path(path).name
        try:
            options = TableOptions(sheet, encoding, delimiter, header, header_row, hidden_rows)
            table = read_table(path, options, name)
            return _checked(cls, table, source, input_column, output_column, frozenset(skip_rows))
        except DatasetInvalid as error:
            raise _named(error, source) from error

    @classmethod
    def from_records(cls, records: Iterable[object], *, source: str = "records") -> Dataset:
        """
        Check records: objects with `text_input` and `output`, pairs, or TuningExamples.

        Rows count from 1. Raises DatasetInvalid with all problems.
        """
        try:
            dataset = _checked(cls, read_records(records), source, None, None, frozenset())
            _check_size(dataset.examples)
        except DatasetInvalid as error:
            raise _named(error, source) from error
        return dataset

    @property
    def facts(self) -> DataFacts:
        """Return facts that may be kept after the data is deleted."""
        return DataFacts(len(self.examples), digest(self.examples), self.source)

    def numbers_of(self, part: Iterable[TuningExample]) -> tuple[int, ...]:
        """Return the row numbers in the file of one side of a split that keeps equal inputs together and in order."""
        inside = {example.text_input.strip() for example in part}
        return tuple(row for row, one in zip(self.rows, self.examples, strict=True) if one.text_input.strip() in inside)

    def __len__(self) -> int:
        return len(self.examples)


def as_dataset(dataset: Dataset | Iterable[object]) -> Dataset:
    """Return a dataset as it is, or make one from records."""
    return dataset if isinstance(dataset, Dataset) else Dataset.from_records(dataset)


def digest(examples: Iterable[TuningExample]) -> str:
    """
    Return the sha256 of the examples in order, in hex.

    Each field is hashed as its length in bytes (8 bytes, big-endian) followed by its UTF-8 bytes, so that the digest is
    unambiguous.
    """
    found = hashlib.sha256()
    for example in examples:
        for field in (example.text_input, example.output):
            data = field.encode()
            found.update(len(data).to_bytes(8, "big"))
            found.update(data)
    return found.hexdigest()


def hold_out(
    examples: Sequence[TuningExample], amount: int | float | str, seed: int = 0
) -> tuple[tuple[TuningExample, ...], tuple[TuningExample, ...]]:
    """
    Split into training examples and held-out examples, both in order.

    `amount`: rows (12, "12"), or a fraction below 1 (0.1, "10%"). Equal inputs stay together, so slightly fewer rows
    than requested may be held out. The same examples and `seed` give the same split, whatever the order. Raises
    InvalidArgument when `amount` is invalid or leaves no training row.
    """
    wanted = _held_out_rows(amount, len(examples))
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(example.text_input.strip(), []).append(index)
    held_out: set[int] = set()
    for text_input in sorted(groups, key=lambda text: hashlib.sha256(f"{seed}\0{text}".encode()).digest()):
        if len(held_out) + len(groups[text_input]) <= wanted:
            held_out.update(groups[text_input])
    if wanted and not held_out:
        raise InvalidArgument("No rows can be held out: too many rows have the same input.")
    tuning = tuple(example for index, example in enumerate(examples) if index not in held_out)
    return tuning, tuple(example for index, example in enumerate(examples) if index in held_out)


def _checked(
    cls: type[Dataset],
    table: Table,
    source: str,
    input_column: str | Sequence[str] | None,
    output_column: str | None,
    skip_rows: frozenset[int],
) -> Dataset:
    table = table.without(skip_rows)
    try:
        mapping = choose(table, input_column, output_column)
    except DatasetInvalid as error:
        raise DatasetInvalid(str(error), order_problems([*table.problems, *error.problems])) from error
    checked = check_rows(table, mapping)
    problems = (*mapping_notes(table, mapping), *checked.problems)
    if any(problem.level is Level.ERROR for problem in problems):
        raise DatasetInvalid("", problems)
    return cls(checked.examples, problems, source, checked.rows)


def _named(error: DatasetInvalid, source: str) -> DatasetInvalid:
    """Return the error with a message naming the file and the first problems."""
    errors = [problem for problem in error.problems if problem.level is Level.ERROR]
    causes = told_together(errors, "{}=".format)
    listed = " ".join(sentence for sentence, _ in causes[:_PROBLEMS_IN_MESSAGE])
    more = sum(len(problems) for _, problems in causes[_PROBLEMS_IN_MESSAGE:])
    rest = f" And {more:,} more." if more > 0 else ""
    return DatasetInvalid(f"{source}: {listed}{rest}", error.problems)


def _check_size(examples: Sequence[TuningExample]) -> None:
    size = sum(len(field.encode()) for example in examples for field in (example.text_input, example.output))
    if size > MAX_DATASET_BYTES:
        message = f"The examples have {size:,} bytes; the limit is {MAX_DATASET_BYTES:,}."
        raise invalid("too-large", message, limit=MAX_DATASET_BYTES, actual=size)


def _held_out_rows(amount: int | float | str, examples: int) -> int:
    """Return the number of rows that `amount` stands for, at least one for a share above 0."""
    value = _parsed(amount)
    if isinstance(value, float):
        if not 0 <= value < 1:  # also refuses NaN
            raise InvalidArgument(
                f"The number of held-out rows must be a whole number or a fraction below 1, not {amount!r}."
            )
        wanted = max(1, round(value * examples)) if value else 0
    else:
        wanted = value
    if wanted < 0:
        raise InvalidArgument(f"The number of held-out rows must be at least 0, not {amount!r}.")
    if wanted and wanted >= examples:
        raise InvalidArgument(f"Holding out {amount} of {examples:,} rows leaves no rows to tune on.")
    return wanted


def _parsed(amount: int | float | str) -> int | float:
    if isinstance(amount, bool):
        raise InvalidArgument(f"The number of held-out rows must be a number, not {amount!r}.")
    if not isinstance(amount, str):
        return amount
    text = amount.strip()
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError as error:
        raise InvalidArgument(f"The number of held-out rows must look like 12 or 10%, not {amount!r}.") from error


# The first bytes of files that people mistake for tables.
_OTHER_FORMATS = (
    (b"%PDF", "a PDF file"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"PAR1", "a Parquet file; save it as CSV or JSONL"),
    (b"ARROW1", "an Arrow file; save it as CSV or JSONL"),
    (b"Obj\x01", "an Avro file; save it as CSV or JSONL"),
    (b"\x89HDF", "an HDF5 file; save it as CSV or JSONL"),
    (b"\x93NUMPY", "a NumPy file; save it as CSV or JSONL"),
    *((b"\x80" + bytes([version]), "a Python pickle; save it as CSV or JSONL") for version in (2, 3, 4, 5)),
    (b"SQLite format 3", "a SQLite database; export the table as CSV"),
    (b"{\\rtf", "an RTF document; save the table as CSV"),
)
_SQL = (
    r"(?:(?:--|/\*|#).*\s+)*(?:INSERT INTO \S+ .*\bVALUES|INSERT INTO \S+ ?\(|CREATE TABLE .*\(|CREATE DATABASE \w+;"
    r"|COPY \S+ .*FROM stdin|PRAGMA \w+ ?=|SET NAMES |SET statement_timeout|BEGIN TRANSACTION;|DROP TABLE IF EXISTS)"
)
_OTHER_TEXTS = (
    (re.compile(rf"\s*{_SQL}", re.IGNORECASE), "SQL; export the table as CSV"),
    (re.compile(r"\s*(?:%.*\s+)*\\(?:documentclass|usepackage|begin\{)"), "LaTeX; save the table as CSV"),
    (re.compile(r"\s*(?:%.*\s+)*@relation\b", re.IGNORECASE), "an ARFF file; save it as CSV"),
    (re.compile(r"\s*(?:---\s+)?(?:\w+:\s+)?- \w[\w ]*: .*\n +\w[\w ]*:"), "YAML; save it as JSON"),
    (re.compile(r"ID;P"), "a SYLK file; save the table as CSV"),
    (re.compile(r"TABLE\r?\n0,1\r?\n"), "a DIF file; save the table as CSV"),
)
_NOTHING = " \t\r\n,;|"  # blank lines and rows without cells
_SAMPLE_CHARACTERS = 4096
_MAX_SHARE_OF_CONTROLS = 0.1  # a few are an accident in one cell, which is reported separately
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def read_table(path: str | Path, options: TableOptions, name: str | None = None) -> Table:
    """
    Read the file at `path`; `name` is the user's name for it.

    Raises NotFound, InvalidArgument when it cannot be opened, and DatasetInvalid when it is not a table.
    """
    path = Path(path)
    data = _bytes(path)
    suffix = Path(name or path).suffix.lower()
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06", _OLE2)):
        _refuse_options("A workbook", encoding=options.encoding, delimiter=options.delimiter)
        from tunery.data.workbooks import read_workbook

        return read_workbook(data, options)
    _refuse_other_formats(data)
    decoded = decode(data, options.encoding or declared_encoding(data))
    if not decoded.text.strip(_NOTHING):
        raise invalid("empty-file", "The file is empty.")
    _refuse_binary(decoded.text)
    if options.delimiter is None and (read_marked_up := marked_up_reader(decoded.text)) is not None:
        return read_marked_up(decoded, options)
    _refuse_options("A text file", sheet=options.sheet)
    _refuse_other_texts(decoded.text, is_forced=options.delimiter is not None)
    form = None if options.delimiter else looks_like_json(decoded.text, suffix)
    if form is None:
        return read_delimited(decoded, options)
    _refuse_options("JSON", header=options.header)
    return read_jsonl(decoded) if form == "jsonl" else read_json(decoded)


def _bytes(path: Path) -> bytes:
    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    if not path.is_file():  # reading a device or a pipe might never end
        raise InvalidArgument(f"{str(path)!r} is not a file.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DATASET_BYTES + 1)
            size = len(data) if len(data) <= MAX_DATASET_BYTES else path.stat().st_size
    except OSError as error:
        raise InvalidArgument(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if size > MAX_DATASET_BYTES:
        raise invalid(
            "too-large",
            f"The file has {size:,} bytes; the limit is {MAX_DATASET_BYTES:,}.",
            limit=MAX_DATASET_BYTES,
            actual=size,
        )
    return data


def _refuse_other_formats(data: bytes) -> None:
    for start, what in _OTHER_FORMATS:
        if data.startswith(start):
            raise invalid("not-a-table", f"This is {what}. CSV, TSV, XLSX, XLS, ODS, JSONL and JSON can be read.")


def _refuse_other_texts(text: str, *, is_forced: bool) -> None:
    """Raise DatasetInvalid for text in another format, unless the user named a delimiter."""
    for pattern, what in _OTHER_TEXTS:
        if not is_forced and pattern.match(text[:_SAMPLE_CHARACTERS]):
            raise invalid("not-a-table", f"This is {what}. CSV, TSV, XLSX, XLS, ODS, JSONL and JSON can be read.")


def _refuse_options(what: str, **given: object) -> None:
    """Raise InvalidArgument for options that do not apply to this format."""
    for name, value in given.items():
        if value is not None:
            raise InvalidArgument(f"{what} has no {name}; leave that option out.")


def _refuse_binary(text: str) -> None:
    sample = text[:_SAMPLE_CHARACTERS]
    controls = sum(character < " " and character not in "\t\n\r\f\v" for character in sample)
    if controls > _MAX_SHARE_OF_CONTROLS * len(sample):
        raise invalid("not-a-table", "This is not a text file. CSV, TSV, XLSX, XLS, ODS, JSONL and JSON can be read.")


SAMPLE_ROWS = 20
MAX_PROBLEM_ROWS = 1_000


class ReadOptions(TypedDict, total=False):
    """The options of `Dataset.read`."""

    input_column: str | Sequence[str] | None
    output_column: str | None
    sheet: str | None
    encoding: str | None
    delimiter: str | None
    header: bool | None
    header_row: int | None
    hidden_rows: bool
    skip_rows: Iterable[int]
    name: str | None


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row of the file; None for a cell without text."""

    number: int
    cells: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """How a file was understood; options of `Dataset.read` override every guess."""

    source: str
    format: str  # csv, tsv, xlsx, xls, ods, json, jsonl, aistudio
    columns: tuple[str, ...]
    sample: tuple[SampleRow, ...]  # the first rows
    row_count: int  # without the header, including rows that could not be read
    example_count: int  # rows that can be used
    input_columns: tuple[str, ...]
    output_column: str | None
    ignored_columns: tuple[str, ...]
    problems: tuple[DataProblem, ...]  # errors and warnings
    first_example: TuningExample | None = None
    has_header: bool | None = None  # None: this format has no header row
    header_row: int | None = None  # its number, as in the file
    encoding: str | None = None  # None: a workbook
    encoding_is_guessed: bool = False
    delimiter: str | None = None
    sheet: str | None = None
    sheets: tuple[Sheet, ...] = ()
    problem_rows: tuple[
        SampleRow, ...
    ] = ()  # rows with problems that are not in the sample; a row that could not be read is unchanged

    @property
    def questions(self) -> tuple[DataProblem, ...]:
        """The problems caused by reading the file in one of several ways."""
        return tuple(problem for problem in self.problems if problem.readings)


def preview(path: str | Path, sample_rows: int = SAMPLE_ROWS, **options: Unpack[ReadOptions]) -> Preview:
    """
    Preview a file with the options of `Dataset.read` and up to `sample_rows` of its rows.

    Raises NotFound, InvalidArgument, and DatasetInvalid only when there is no table to show.
    """
    table_options = TableOptions(
        options.get("sheet"),
        options.get("encoding"),
        options.get("delimiter"),
        options.get("header"),
        options.get("header_row"),
        options.get("hidden_rows", False),
    )
    name = options.get("name")
    table = read_table(path, table_options, name).without(frozenset(options.get("skip_rows", ())))
    examples: tuple[TuningExample, ...] = ()
    inputs: tuple[str, ...] = ()
    output, ignored = None, table.columns
    try:
        mapping = choose(table, options.get("input_column"), options.get("output_column"))
    except DatasetInvalid as error:
        problems = order_problems([*table.problems, *error.problems])
    else:
        checked = check_rows(table, mapping)
        examples, problems = checked.examples, (*mapping_notes(table, mapping), *checked.problems)
        inputs = tuple(table.columns[position] for position in mapping.inputs)
        output = table.columns[mapping.output]
        ignored = tuple(table.columns[position] for position in mapping.ignored)
    return Preview(
        source=name or Path(path).name,
        format=table.format,
        columns=table.columns,
        sample=tuple(map(_shown, table.rows[:sample_rows])),
        row_count=len(table.rows) + len(table.refused),
        example_count=len(examples),
        input_columns=inputs,
        output_column=output,
        ignored_columns=ignored,
        problems=problems,
        first_example=next(iter(examples), None),
        has_header=table.has_header,
        header_row=table.header_row,
        encoding=table.encoding,
        encoding_is_guessed=table.encoding_is_guessed,
        delimiter=table.delimiter,
        sheet=table.sheet,
        sheets=table.sheets,
        problem_rows=_problem_rows(table, sample_rows, problems),
    )


def _problem_rows(table: Table, sample_rows: int, problems: Sequence[DataProblem]) -> tuple[SampleRow, ...]:
    named = {row for problem in problems for row in (problem.row, problem.other_row) if row is not None}
    named -= {row.number for row in table.rows[:sample_rows]}
    found = [row for row in (*table.rows, *table.refused) if row.number in named]
    return tuple(map(_shown, sorted(found, key=lambda row: row.number)[:MAX_PROBLEM_ROWS]))


def _shown(row: Row) -> SampleRow:
    return SampleRow(row.number, tuple(printable(cell) if isinstance(cell, str) else None for cell in row.cells))
