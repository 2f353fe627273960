"""
What a file looks like before it is imported: how it was read, its first rows, and what its columns would be used for.

Nothing is stored or refused here: errors stand in the list of problems, beside the rows that can be used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from tunery.engine.data.checks import check_rows, order_problems
from tunery.engine.data.columns import choose, mapping_notes
from tunery.engine.data.formats import read_table
from tunery.engine.data.tables import Sheet, Table, TableOptions, printable
from tunery.errors import DatasetInvalid
from tunery.problems import DataProblem
from tunery.types import TuningExample

SAMPLE_ROWS = 20


class ReadOptions(TypedDict, total=False):
    """The options of `Dataset.read`."""

    input_column: str | Sequence[str] | None
    output_column: str | None
    sheet: str | None
    encoding: str | None
    delimiter: str | None
    header: bool | None
    skip_rows: Iterable[int]
    name: str | None


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row as it stands in the file; None where a cell has no text."""

    number: int
    cells: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """How a file was understood; everything that was found out can be overruled by an option of `Dataset.read`."""

    source: str
    format: str  # csv, tsv, xlsx, xls, ods, json, jsonl, aistudio
    columns: tuple[str, ...]
    sample: tuple[SampleRow, ...]  # the first 20
    row_count: int  # without the header
    example_count: int  # rows that can be used
    input_columns: tuple[str, ...]
    output_column: str | None
    ignored_columns: tuple[str, ...]
    problems: tuple[DataProblem, ...]  # errors and warnings
    first_example: TuningExample | None = None
    has_header: bool | None = None  # None: this format has no header row
    encoding: str | None = None  # None: a workbook
    encoding_is_guessed: bool = False
    delimiter: str | None = None
    sheet: str | None = None
    sheets: tuple[Sheet, ...] = ()


def preview(path: str | Path, **options: Unpack[ReadOptions]) -> Preview:
    """
    Look at a file with the options of `Dataset.read`.

    Raises DatasetInvalid only when there is no table to show, NotFound, and InvalidArgument.
    """
    table_options = TableOptions(
        options.get("sheet"), options.get("encoding"), options.get("delimiter"), options.get("header")
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
        sample=_sample(table),
        row_count=len(table.rows),
        example_count=len(examples),
        input_columns=inputs,
        output_column=output,
        ignored_columns=ignored,
        problems=problems,
        first_example=next(iter(examples), None),
        has_header=table.has_header,
        encoding=table.encoding,
        encoding_is_guessed=table.encoding_is_guessed,
        delimiter=table.delimiter,
        sheet=table.sheet,
        sheets=table.sheets,
    )


def _sample(table: Table) -> tuple[SampleRow, ...]:
    return tuple(
        SampleRow(row.number, tuple(printable(cell) if isinstance(cell, str) else None for cell in row.cells))
        for row in table.rows[:SAMPLE_ROWS]
    )
