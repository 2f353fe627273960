"""Datasets, estimates and stored examples on the wire (extensions)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from pydantic.alias_generators import to_camel

from tunery.data.dataset import Dataset, Preview, SampleRow
from tunery.data.inputs import PromptContract
from tunery.data.outputs import OutputKind, RowsAndLabels, output_kind
from tunery.errors import DataProblem, Level
from tunery.evaluation.contest import RecordedAnswers
from tunery.server.wire.messages import Message
from tunery.server.wire.tuning import HyperparametersOut, hyperparameters_out
from tunery.service.auto import AutoSettings
from tunery.service.creation import Estimate, MemoryEstimate, Source
from tunery.types import WeightFormat


class DataProblemOut(Message):
    """An error or a warning; `row` counts as in the file, and is absent for the whole file."""

    kind: str
    message: str
    level: Level
    row: int | None
    column: str | None
    limit: int | None
    actual: int | None
    other_row: Annotated[int | None, Field(description="The earlier row that this one repeats or contradicts.")]
    is_skippable: Annotated[bool, Field(description="Whether leaving out the row solves the problem.")]
    option: Annotated[str | None, Field(description="The request field that solves it, such as `encoding`.")]


class ReadingOut(Message):
    """One way to read the file, and its first rows read that way."""

    value: Annotated[str, Field(description="The value of the field that chooses this reading.")]
    rows: list[list[str]]


class QuestionOut(Message):
    """A question that the file leaves open; the likeliest reading comes first."""

    option: Annotated[str, Field(description="The request field that answers it, such as `encoding`.")]
    message: Annotated[str, Field(description="What is unclear, as in `problems`.")]
    readings: list[ReadingOut]


class SheetOut(Message):
    """A sheet of a workbook."""

    name: str
    is_hidden: bool


class SampleRowOut(Message):
    """A row of the file; an empty cell is an empty text."""

    number: int
    cells: list[str]


class ExampleOut(Message):
    """An example as tuning reads it, and its row in the file."""

    text_input: str
    output: str
    row: int | None


class MappingOut(Message):
    """How each column is used; for columns not named in the request, this is a suggestion."""

    input_columns: list[str]
    output_column: str | None
    ignored_columns: list[str]


class RecordedOut(Message):
    """Answers of an old model, one for each example, in a file written by `tunery rescue`."""

    title: str
    answers: list[str]


class ParsedDatasetOut(Message):
    """A parsed file; `examples` is present if no problem is an error."""

    source: str
    problems: list[DataProblemOut]
    questions: list[QuestionOut] | None = None
    format: str | None = None
    encoding: str | None = None
    encoding_is_guessed: bool | None = None
    delimiter: str | None = None
    has_header: bool | None = None
    header_row: Annotated[int | None, Field(description="The row with the column names.")] = None
    sheet: str | None = None
    sheets: list[SheetOut] | None = None
    columns: list[str] | None = None
    row_count: int | None = None
    example_count: int | None = None
    sample: list[SampleRowOut] | None = None
    problem_rows: Annotated[
        list[SampleRowOut] | None,
        Field(description="Rows with problems that are not in the sample; a row that could not be read is unchanged."),
    ] = None
    mapping: MappingOut | None = None
    first_example: Annotated[
        ExampleOut | None, Field(description="The first row that can be used, even if others cannot.")
    ] = None
    examples: list[ExampleOut] | None = None
    recorded: RecordedOut | None = None


def parsed_out(
    preview: Preview, dataset: Dataset | None, problems: Sequence[DataProblem], recorded: RecordedAnswers | None
) -> ParsedDatasetOut:
    """Return a file that could be read as a table; `dataset` is None if it cannot be used for tuning."""
    rows = dataset.rows if dataset is not None and dataset.rows else None
    examples = dataset.examples if dataset is not None else ()
    first = preview.first_example
    return ParsedDatasetOut(
        source=preview.source,
        format=preview.format,
        encoding=preview.encoding,
        encoding_is_guessed=preview.encoding_is_guessed or None,
        delimiter=preview.delimiter,
        has_header=preview.has_header,
        header_row=preview.header_row,
        sheet=preview.sheet,
        sheets=[SheetOut(name=sheet.name, is_hidden=sheet.is_hidden) for sheet in preview.sheets] or None,
        columns=list(preview.columns),
        row_count=preview.row_count,
        example_count=preview.example_count,
        sample=_rows_out(preview.sample),
        problem_rows=_rows_out(preview.problem_rows) or None,
        mapping=MappingOut(
            input_columns=list(preview.input_columns),
            output_column=preview.output_column,
            ignored_columns=list(preview.ignored_columns),
        ),
        first_example=None if first is None else ExampleOut(text_input=first.text_input, output=first.output, row=None),
        examples=[
            ExampleOut(text_input=example.text_input, output=example.output, row=rows[place] if rows else None)
            for place, example in enumerate(examples)
        ]
        or None,
        problems=problems_out(problems),
        questions=_questions_out(problems),
        recorded=None if recorded is None else RecordedOut(title=recorded.title, answers=list(recorded.answers)),
    )


def _rows_out(rows: Sequence[SampleRow]) -> list[SampleRowOut]:
    return [SampleRowOut(number=row.number, cells=[cell or "" for cell in row.cells]) for row in rows]


def refused_out(source: str, problems: Sequence[DataProblem]) -> ParsedDatasetOut:
    """Return a file that could not be read as a table."""
    return ParsedDatasetOut(source=source, problems=problems_out(problems), questions=_questions_out(problems))


def _questions_out(problems: Sequence[DataProblem]) -> list[QuestionOut] | None:
    return [
        QuestionOut(
            option=to_camel(problem.option),
            message=problem.message,
            readings=[ReadingOut(value=one.value, rows=[list(row) for row in one.rows]) for one in problem.readings],
        )
        for problem in problems
        if problem.option and problem.readings
    ] or None


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
            other_row=problem.other_row,
            is_skippable=problem.is_skippable,
            option=to_camel(problem.option) if problem.option else None,
        )
        for problem in problems
    ]


class SecondsOut(Message):
    """Duration once the task starts: minimum, maximum, and where the figures come from."""

    at_least: float
    at_most: float
    source: Annotated[Source, Field(description="`measured` on the last tasks with this base, or a first `guess`.")]


class MemoryOut(Message):
    """The most memory the task may take, and the memory that is free now; unknown figures are left out."""

    needed_bytes: int | None
    free_bytes: int | None
    fits: bool | None
    weights: Annotated[
        str | None, Field(description="How the weights of the base are kept: 8bit or 4bit, if not full.")
    ]
    recomputes: Annotated[bool | None, Field(description="Whether layers are computed again to save memory.")]


class InputsOut(Message):
    """What the inputs have in common."""

    prefix: Annotated[str | None, Field(description="Text that nearly all inputs begin with.")]


class LabelCountOut(Message):
    """A label and the number of examples that have it."""

    label: str
    rows: int


class OutputsOut(Message):
    """What the outputs are."""

    kind: OutputKind
    labels: Annotated[list[LabelCountOut] | None, Field(description="Most frequent first; only for kind LABELS.")]


class AutoSettingsOut(Message):
    """What auto settings would be, or are, and why; what is named stays only if the request asks for them."""

    hyperparameters: HyperparametersOut
    reason: str
    total_steps: int
    times_steps: Annotated[float, Field(description="Steps as a multiple of those of the page's settings.")]
    times_time: Annotated[float, Field(description="Time of the steps as a multiple of that of the page's settings.")]


class EstimateOut(Message):
    """The cost of a tuning task, without creating it."""

    total_steps: int
    example_count: int
    held_out_count: int
    tokens_per_epoch: int
    total_tokens: int
    longest_example_tokens: int
    example_tokens: Annotated[list[int], Field(description="Tokens of each example, in the order sent.")]
    cut_rows: Annotated[
        list[int] | None, Field(description="Examples too long for the context window, numbered from 1.")
    ]
    seconds: SecondsOut
    fold_count: Annotated[int | None, Field(description="Folds that evaluate the model after tuning.")]
    fold_seconds: Annotated[SecondsOut | None, Field(description="The cost of these folds.")]
    waiting_before: int
    memory: MemoryOut
    rate_warning: Annotated[str | None, Field(description="If the learning rate will probably ruin the model.")]
    rows_advice: Annotated[str, Field(description="Number of rows, and how many usually give good results.")]
    problems: Annotated[list[DataProblemOut] | None, Field(description="Warnings; rows are numbered from 1.")]
    inputs: InputsOut
    outputs: OutputsOut
    auto_settings: AutoSettingsOut


def _seconds_out(seconds: tuple[float, float], source: Source) -> SecondsOut:
    at_least, at_most = seconds
    return SecondsOut(at_least=round(at_least, 1), at_most=round(at_most, 1), source=source)


def estimate_out(
    estimate: Estimate, problems: Sequence[DataProblem], examples: Sequence[tuple[str, str]]
) -> EstimateOut:
    """Return an estimate, and what the inputs and outputs of the examples are, as the API shows them."""
    return EstimateOut(
        total_steps=estimate.total_steps,
        example_count=estimate.examples,
        held_out_count=estimate.held_out,
        tokens_per_epoch=estimate.tokens_per_epoch,
        total_tokens=estimate.total_tokens,
        longest_example_tokens=estimate.longest_tokens,
        example_tokens=list(estimate.example_tokens),
        cut_rows=[place + 1 for place in estimate.cut] or None,
        seconds=_seconds_out(estimate.seconds, estimate.source),
        fold_count=estimate.fold_count or None,
        fold_seconds=_seconds_out(estimate.fold_seconds, estimate.source) if estimate.fold_count else None,
        waiting_before=estimate.waiting_before,
        memory=_memory_out(estimate.memory),
        rate_warning=estimate.rate_warning,
        rows_advice=estimate.facts.advice,
        problems=problems_out((*problems, *estimate.facts.problems)) or None,
        inputs=InputsOut(prefix=PromptContract.learn([text_input for text_input, _ in examples]).beginning or None),
        outputs=_outputs_out([output.strip() for _, output in examples], estimate.facts),
        auto_settings=_auto_out(estimate.auto),
    )


def _auto_out(auto: AutoSettings) -> AutoSettingsOut:
    return AutoSettingsOut(
        hyperparameters=hyperparameters_out(auto.hyperparameters),
        reason=auto.reason,
        total_steps=auto.total_steps,
        times_steps=round(auto.times_steps, 2),
        times_time=round(auto.times_time, 2),
    )


def _memory_out(memory: MemoryEstimate) -> MemoryOut:
    weights = None if memory.weights is WeightFormat.FULL else memory.weights
    return MemoryOut(
        needed_bytes=memory.memory_bytes,
        free_bytes=memory.free_bytes,
        fits=memory.fits,
        weights=weights,
        recomputes=memory.recomputes or None,
    )


def _outputs_out(outputs: Sequence[str], facts: RowsAndLabels) -> OutputsOut:
    labels = [LabelCountOut(label=label, rows=rows) for label, rows in facts.labels]
    return OutputsOut(kind=output_kind(outputs), labels=labels or None)


class StoredExampleOut(Message):
    """An example."""

    text_input: str
    output: str
    rendered: Annotated[
        str | None,
        Field(description="As the base reads it, with the chat template; only with `rendered=true`."),
    ] = None


class SampledRowOut(Message):
    """A row that was answered after each epoch."""

    text_input: str
    expected: str


class SampledEpochOut(Message):
    """The answers of an epoch, in the order of the rows."""

    epoch: int
    answers: list[str]


class EpochAnswersOut(Message):
    """The answers to a few rows after each epoch; held-out rows are used if there are any."""

    rows: list[SampledRowOut] | None = None
    epochs: list[SampledEpochOut] | None = None


class StoredExamplesPage(Message):
    """A page of examples, in the order sent."""

    examples: list[StoredExampleOut] | None
    total_size: int
    next_page_token: str | None
