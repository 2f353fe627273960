"""
A dataset: the examples of one file or call, checked as a whole.

`Dataset.read` and `Dataset.from_records` report all problems at once; `digest` recognises a dataset, `hold_out`
splits it. It knows no tensors, no tokenizer and no base model, and loads none of their libraries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunery.engine.data.checks import check_rows, order_problems
from tunery.engine.data.columns import choose, mapping_notes
from tunery.engine.data.formats import read_table
from tunery.engine.data.json_records import read_records
from tunery.engine.data.tables import Table, TableOptions, invalid
from tunery.errors import DatasetInvalid, InvalidArgument
from tunery.problems import DataProblem, Level
from tunery.types import MAX_DATASET_BYTES, DataFacts, TuningExample

_PROBLEMS_IN_MESSAGE = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples that can be tuned on."""

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
        skip_rows: Iterable[int] = (),
        name: str | None = None,
    ) -> Dataset:
        """
        Read CSV, TSV, XLSX, XLS, ODS, JSONL or JSON; what is not given is found out.

        Several input columns are joined as lines of "name: text". `skip_rows` are left out with their problems;
        `name` is what the user calls the file. At most 4 MiB, 40,000 characters of input and 5,000 of output
        (page "Intro to model tuning"). Raises DatasetInvalid with all problems, NotFound, and InvalidArgument.
        """
        source = name or Path(path).name
        try:
            table = read_table(path, TableOptions(sheet, encoding, delimiter, header), name)
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
        """Return what may be kept about the data once the data is gone."""
        return DataFacts(len(self.examples), digest(self.examples), self.source)

    def __len__(self) -> int:
        return len(self.examples)


def digest(examples: Iterable[TuningExample]) -> str:
    """
    Return the sha256 of the examples in their order, in hex.

    Each field counts as its length in bytes (8 bytes, big-endian) and its UTF-8, so that no two datasets look alike.
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
    Split into examples to tune on and examples held out, both in their order.

    `amount`: rows (12, "12"), or a share below 1 (0.1, "10%"). Equal inputs stay on one side, so a few rows less than
    asked may be held out. Equal examples and `seed` give the same split, whatever their order. Raises
    InvalidArgument when `amount` makes no sense or leaves no row to tune on.
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
        raise InvalidArgument("No rows can be held out: the same inputs stand in too many rows.")
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
    """Return the error with a message that names the file and the first problems."""
    errors = [problem for problem in error.problems if problem.level is Level.ERROR]
    listed = " ".join(str(problem) for problem in errors[:_PROBLEMS_IN_MESSAGE])
    more = len(errors) - _PROBLEMS_IN_MESSAGE
    rest = f" And {more:,} more." if more > 0 else ""
    return DatasetInvalid(f"{source}: {listed}{rest}", error.problems)


def _check_size(examples: Sequence[TuningExample]) -> None:
    size = sum(len(field.encode()) for example in examples for field in (example.text_input, example.output))
    if size > MAX_DATASET_BYTES:
        message = f"The examples have {size:,} bytes, limit {MAX_DATASET_BYTES:,}."
        raise invalid("too-large", message, limit=MAX_DATASET_BYTES, actual=size)


def _held_out_rows(amount: int | float | str, examples: int) -> int:
    """Return how many rows `amount` means; at least one if it is a share above 0."""
    value = _parsed(amount)
    if isinstance(value, float):
        if not 0 <= value < 1:  # also refuses NaN
            raise InvalidArgument(f"Rows held out must be a whole number or a share below 1, not {amount!r}.")
        wanted = max(1, round(value * examples)) if value else 0
    else:
        wanted = value
    if wanted < 0:
        raise InvalidArgument(f"Rows held out cannot be fewer than 0, not {amount!r}.")
    if wanted and wanted >= examples:
        raise InvalidArgument(f"Holding out {amount} of {examples:,} rows leaves no row to tune on.")
    return wanted


def _parsed(amount: int | float | str) -> int | float:
    if isinstance(amount, bool):
        raise InvalidArgument(f"Rows held out must be a number, not {amount!r}.")
    if not isinstance(amount, str):
        return amount
    text = amount.strip()
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError as error:
        raise InvalidArgument(f"Rows held out must look like 12 or 10%, not {amount!r}.") from error
