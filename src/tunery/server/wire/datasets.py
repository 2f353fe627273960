"""
What a file of examples looks like on the wire (extension): how it was read, its columns, rows, examples and problems.

Conversion from the values of the data reader happens here; no bytes of files.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunery.data.dataset import Dataset, Preview
from tunery.errors import DataProblem, Level
from tunery.server.wire.base import Message


class DataProblemOut(Message):
    """One thing that is wrong or doubtful; `row` counts as in the file, none means the whole file."""

    kind: str
    message: str
    level: Level
    row: int | None
    column: str | None
    limit: int | None
    actual: int | None


class SheetOut(Message):
    """A sheet of a workbook."""

    name: str
    is_hidden: bool


class SampleRowOut(Message):
    """A row as it stands in the file; an empty text where a cell has none."""

    number: int
    cells: list[str]


class ExampleOut(Message):
    """An example as tuning would read it, and the row it comes from."""

    text_input: str
    output: str
    row: int | None


class MappingOut(Message):
    """Which columns would be used as what; what was not asked for is suggested."""

    input_columns: list[str]
    output_column: str | None
    ignored_columns: list[str]


class ParsedDatasetOut(Message):
    """A file as it was understood; `examples` are there when no problem is an error."""

    source: str
    problems: list[DataProblemOut]
    format: str | None = None
    encoding: str | None = None
    encoding_is_guessed: bool | None = None
    delimiter: str | None = None
    has_header: bool | None = None
    sheet: str | None = None
    sheets: list[SheetOut] | None = None
    columns: list[str] | None = None
    row_count: int | None = None
    example_count: int | None = None
    sample: list[SampleRowOut] | None = None
    mapping: MappingOut | None = None
    examples: list[ExampleOut] | None = None


def parsed_out(preview: Preview, dataset: Dataset | None, problems: Sequence[DataProblem]) -> ParsedDatasetOut:
    """Return a file that is a table; `dataset` is None if it cannot be tuned on."""
    rows = dataset.rows if dataset is not None and dataset.rows else None
    examples = dataset.examples if dataset is not None else ()
    return ParsedDatasetOut(
        source=preview.source,
        format=preview.format,
        encoding=preview.encoding,
        encoding_is_guessed=preview.encoding_is_guessed or None,
        delimiter=preview.delimiter,
        has_header=preview.has_header,
        sheet=preview.sheet,
        sheets=[SheetOut(name=sheet.name, is_hidden=sheet.is_hidden) for sheet in preview.sheets] or None,
        columns=list(preview.columns),
        row_count=preview.row_count,
        example_count=preview.example_count,
        sample=[SampleRowOut(number=row.number, cells=[cell or "" for cell in row.cells]) for row in preview.sample],
        mapping=MappingOut(
            input_columns=list(preview.input_columns),
            output_column=preview.output_column,
            ignored_columns=list(preview.ignored_columns),
        ),
        examples=[
            ExampleOut(text_input=example.text_input, output=example.output, row=rows[place] if rows else None)
            for place, example in enumerate(examples)
        ]
        or None,
        problems=problems_out(problems),
    )


def refused_out(source: str, problems: Sequence[DataProblem]) -> ParsedDatasetOut:
    """Return a file that is no table."""
    return ParsedDatasetOut(source=source, problems=problems_out(problems))


def problems_out(problems: Sequence[DataProblem]) -> list[DataProblemOut]:
    """Return problems as the API shows them."""
    return [
        DataProblemOut(
            kind=problem.kind,
            message=problem.message,
            level=problem.level,
            row=problem.row,
            column=problem.column,
            limit=problem.limit,
            actual=problem.actual,
        )
        for problem in problems
    ]
