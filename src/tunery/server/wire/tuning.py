"""
Tuned models, their tasks and operations on the wire (google/ai/generativelanguage/v1beta/tuned_model.proto).

Conversion from and to domain values happens here. Fields of our own are marked as extensions; Google's clients ignore
them. Training data comes in and never goes out: the old client refuses a reply, and a whole list, that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from tunery.data.dataset import Dataset, Preview
from tunery.errors import DataProblem, Level
from tunery.server.wire.messages import (
    Incoming,
    Int32,
    Int64,
    Int64List,
    Message,
    StrictIncoming,
    Timestamp,
    enum_name,
    without_extensions,
)
from tunery.service.estimate import Estimate, Source
from tunery.types import EpochLoss, GranteeType, Permission, Phase, Role, State, TunedModel, TuningSnapshot, TuningTask

MAX_SNAPSHOTS = 2000  # above it the curve is thinned evenly; first and last stay


class TuningExampleIn(StrictIncoming):
    """One example of the training data."""

    text_input: str = ""
    output: str = ""


class TuningExamplesIn(StrictIncoming):
    """The list inside a dataset."""

    examples: list[TuningExampleIn] = Field(default_factory=list)


class DatasetIn(StrictIncoming):
    """Training data, inline."""

    examples: TuningExamplesIn | None = None


class HyperparametersIn(StrictIncoming):
    """Settings of a tuning task; at most one of the two rates."""

    epoch_count: Int32 | None = None
    batch_size: Int32 | None = None
    learning_rate: float | None = None
    learning_rate_multiplier: float | None = None


class DataFactsIn(Incoming):
    """Extension: what the user calls the data; the other facts are found out."""

    source: str | None = Field(default=None, max_length=200)


class TuningTaskIn(StrictIncoming):
    """What shall be tuned; output-only fields are read over. `hold_out`, `seed` and `data` are extensions."""

    training_data: DatasetIn | None = None
    hyperparameters: HyperparametersIn | None = None
    hold_out: str | int | float | None = None
    seed: Int64 | None = None
    start_time: Any = None
    complete_time: Any = None
    snapshots: Any = None
    epoch_losses: Any = None
    advice: Any = None
    data: DataFactsIn | None = None
    held_out_rows: Any = None
    phase: Any = None
    total_steps: Any = None
    completed_steps: Any = None
    settings: Any = None
    versions: Any = None


class TunedModelSourceIn(StrictIncoming):
    """The tuned model to go on from."""

    tuned_model: str | None = None
    base_model: str | None = None


class TunedModelIn(StrictIncoming):
    """A tuned model to be created or changed; output-only fields are read over, since old clients send them back."""

    name: str | None = None
    base_model: str | None = None
    tuned_model_source: TunedModelSourceIn | None = None
    display_name: str | None = None
    description: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[Int32 | None, AfterValidator(lambda k: k or None)] = None  # 0 is the old client's way to say none
    tuning_task: TuningTaskIn | None = None
    reader_project_numbers: list[Int64] | None = None
    state: Any = None
    create_time: Any = None
    update_time: Any = None
    error: Any = None
    cancelled: Any = None
    base_weights: Any = None
    base_digest: Any = None
    operation: Any = None
    prompt_contract: Any = None
    output_contract: Any = None
    output_form: Any = None
    wrap_plain_inputs: bool | None = None


class SnapshotOut(Message):
    """One step of the curve; `epoch` is missing while it is 0, as in the original."""

    step: int
    epoch: int | None
    mean_loss: float
    compute_time: Timestamp


class EpochLossOut(Message):
    """Extension: mean losses of one pass over the examples, counted from 1."""

    epoch: int
    mean_loss: float
    held_out_loss: float | None


class AdviceOut(Message):
    """Extension: what the curve says."""

    kind: str
    text: str
    epoch_count: int | None


class DataFactsOut(Message):
    """Extension: what is remembered of the data."""

    rows: int
    sha256: str
    source: str


class HyperparametersOut(Message):
    """Settings in force; a multiplier has been worked into the rate."""

    epoch_count: int
    batch_size: int
    learning_rate: float


class TuningTaskOut(Message):
    """A tuning task: settings, times and curve."""

    start_time: Timestamp | None
    complete_time: Timestamp | None
    snapshots: list[SnapshotOut] | None
    hyperparameters: HyperparametersOut
    held_out_rows: Annotated[int | None, Field(description="Extension: rows kept out of tuning to measure it.")]
    seed: Annotated[int, Field(description="Extension.")]
    data: Annotated[DataFactsOut, Field(description="Extension.")]
    phase: Annotated[Phase, Field(description="Extension: where the task stands.")]
    total_steps: Annotated[int, Field(description="Extension.")]
    completed_steps: Annotated[int, Field(description="Extension.")]
    settings: Annotated[dict[str, Any] | None, Field(description="Extension: settings of the machine in force.")]
    versions: Annotated[dict[str, str] | None, Field(description="Extension: versions of what computed it.")]
    epoch_losses: Annotated[list[EpochLossOut] | None, Field(description="Extension.")]
    advice: Annotated[AdviceOut | None, Field(description="Extension.")]


class TunedModelSourceOut(Message):
    """The tuned model this one goes on from, and the base of both."""

    tuned_model: str
    base_model: str


class TaskErrorOut(Message):
    """Extension: why a tuned model is not usable, or not whole: a google.rpc code and a sentence."""

    code: int
    message: str


class TunedModelOut(Message):
    """A tuned model."""

    name: str
    base_model: str | None
    tuned_model_source: TunedModelSourceOut | None
    display_name: str
    description: str | None
    temperature: float
    top_p: float
    top_k: int | None
    state: State
    create_time: Timestamp
    update_time: Timestamp
    tuning_task: TuningTaskOut
    reader_project_numbers: Int64List | None
    base_weights: Annotated[str, Field(description="Extension: the open weights behind the base model.")]
    base_digest: Annotated[str, Field(description="Extension: sha256 of these weights.")]
    operation: Annotated[str, Field(description="Extension: name of the operation that made it.")]
    cancelled: Annotated[bool | None, Field(description="Extension: cancelled before its last step.")]
    error: Annotated[TaskErrorOut | None, Field(description="Extension.")]
    prompt_contract: Annotated[str | None, Field(description="Extension: how the inputs look, in a sentence.")] = None
    output_contract: Annotated[str | None, Field(description="Extension: what the outputs are, in a sentence.")] = None
    output_form: Annotated[
        str | None, Field(description="Extension: LABELS, NUMBER, DATE, JSON or TEXT; all but TEXT can be kept to.")
    ] = None
    wrap_plain_inputs: Annotated[
        bool | None, Field(description="Extension: plain inputs get the preamble and label that the examples have.")
    ] = None


class TunedModelsPage(Message):
    """A page of tuned models; empty lists are left out."""

    tuned_models: list[TunedModelOut] | None
    next_page_token: str | None


def tuned_model_out(model: TunedModel) -> TunedModelOut:
    """Return a tuned model as the API shows it."""
    task = model.task
    base = f"models/{model.base_name_asked or model.base_model}"
    source = model.source_tuned_model
    return TunedModelOut(
        name=model.name,
        base_model=None if source else base,
        tuned_model_source=TunedModelSourceOut(tuned_model=f"tunedModels/{source}", base_model=base)
        if source
        else None,
        display_name=model.display_name,
        description=model.description or None,
        temperature=model.temperature,
        top_p=model.top_p,
        top_k=model.top_k,
        state=model.state,
        create_time=model.create_time,
        update_time=model.update_time,
        tuning_task=_task_out(task),
        reader_project_numbers=list(model.reader_project_numbers) or None,
        base_weights=model.base_model,
        base_digest=model.base_digest,
        operation=model.operation_name,
        cancelled=True if task.phase is Phase.CANCELLED else None,
        error=_error_out(task),
    )


def _task_out(task: TuningTask) -> TuningTaskOut:
    settings = task.hyperparameters
    assert settings.learning_rate is not None
    return TuningTaskOut(
        start_time=task.start_time,
        complete_time=task.complete_time,
        snapshots=snapshots_out(task.snapshots) or None,
        hyperparameters=HyperparametersOut(
            epoch_count=settings.epoch_count, batch_size=settings.batch_size, learning_rate=settings.learning_rate
        ),
        held_out_rows=task.held_out_rows or None,
        seed=task.seed,
        data=DataFactsOut(rows=task.data.rows, sha256=task.data.sha256, source=task.data.source),
        phase=task.phase,
        total_steps=task.total_steps,
        completed_steps=task.completed_steps,
        settings=task.settings or None,
        versions=task.versions or None,
        epoch_losses=[epoch_loss_out(loss) for loss in task.epoch_losses] or None,
        advice=advice_out(task),
    )


def snapshots_out(snapshots: tuple[TuningSnapshot, ...]) -> list[SnapshotOut]:
    """Return a curve as the API shows it, thinned evenly when it is very long."""
    return [
        SnapshotOut(step=s.step, epoch=s.epoch or None, mean_loss=s.mean_loss, compute_time=s.compute_time)
        for s in _thinned(snapshots)
    ]


def _thinned(snapshots: tuple[TuningSnapshot, ...]) -> tuple[TuningSnapshot, ...]:
    if len(snapshots) <= MAX_SNAPSHOTS:
        return snapshots
    last = len(snapshots) - 1
    return tuple(snapshots[last * place // (MAX_SNAPSHOTS - 1)] for place in range(MAX_SNAPSHOTS))


def epoch_loss_out(loss: EpochLoss) -> EpochLossOut:
    """Return the losses of an epoch as the API shows them."""
    return EpochLossOut(epoch=loss.epoch, mean_loss=loss.mean_loss, held_out_loss=loss.held_out_loss)


def advice_out(task: TuningTask) -> AdviceOut | None:
    """Return the advice of a task as the API shows it, None if there is none."""
    advice = task.advice
    return None if advice is None else AdviceOut(kind=advice.kind, text=advice.text, epoch_count=advice.epoch_count)


def _error_out(task: TuningTask) -> TaskErrorOut | None:
    if task.error_code is None:
        return None
    return TaskErrorOut(code=task.error_code, message=task.error_message or "")


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


class SecondsOut(Message):
    """How long it would take once it begins: at least, at most, and where the figures come from."""

    at_least: float
    at_most: float
    source: Annotated[Source, Field(description="`measured` on the last tasks of this base here, or a first `guess`.")]


class MemoryOut(Message):
    """About how much memory it would take, and how much is free now; what is not known is left out."""

    needed_bytes: int | None
    free_bytes: int | None
    fits: bool | None


class EstimateOut(Message):
    """What a tuning task would take; nothing was created."""

    total_steps: int
    example_count: int
    held_out_count: int
    tokens_per_epoch: int
    total_tokens: int
    longest_example_tokens: int
    example_tokens: Annotated[list[int], Field(description="Of each example, in the order in which they came.")]
    cut_rows: Annotated[list[int] | None, Field(description="Examples, counted from 1, that lose their end.")]
    seconds: SecondsOut
    waiting_before: int
    memory: MemoryOut
    problems: Annotated[list[DataProblemOut] | None, Field(description="Warnings; rows count from 1.")]


def estimate_out(estimate: Estimate, problems: Sequence[DataProblem]) -> EstimateOut:
    """Return an estimate as the API shows it."""
    memory = estimate.memory
    at_least, at_most = estimate.seconds
    return EstimateOut(
        total_steps=estimate.total_steps,
        example_count=estimate.examples,
        held_out_count=estimate.held_out,
        tokens_per_epoch=estimate.tokens_per_epoch,
        total_tokens=estimate.total_tokens,
        longest_example_tokens=estimate.longest_tokens,
        example_tokens=list(estimate.example_tokens),
        cut_rows=[place + 1 for place in estimate.cut] or None,
        seconds=SecondsOut(at_least=round(at_least, 1), at_most=round(at_most, 1), source=estimate.source),
        waiting_before=estimate.waiting_before,
        memory=MemoryOut(needed_bytes=memory.memory_bytes, free_bytes=memory.free_bytes, fits=memory.fits),
        problems=problems_out(problems) or None,
    )


class StoredExampleOut(Message):
    """An example."""

    text_input: str
    output: str
    rendered: Annotated[
        str | None, Field(description="As the base read it, with template and special tokens; only on request.")
    ] = None


class StoredExamplesPage(Message):
    """A page of examples, in the order in which they came."""

    examples: list[StoredExampleOut] | None
    total_size: int
    next_page_token: str | None


TYPE_URL = "type.googleapis.com/google.ai.generativelanguage"


class StatusOut(Message):
    """How an operation failed: a google.rpc code and a sentence."""

    code: int
    message: str


class MetadataOut(Message):
    """How far a tuning task is; clients read `total_steps` from the first reply on."""

    type_url: Annotated[str, Field(alias="@type")]
    total_steps: int
    completed_steps: int
    completed_percent: float | None  # only once there is a snapshot: guides print the last one whenever it is there
    snapshots: list[SnapshotOut] | None
    tuned_model: str
    phase: Annotated[Phase, Field(description="Extension.")]
    waiting_before: Annotated[int | None, Field(description="Extension: tasks before this one in the queue.")]
    epoch_losses: Annotated[list[EpochLossOut] | None, Field(description="Extension.")]
    advice: Annotated[AdviceOut | None, Field(description="Extension.")]


class _Typed(Message):
    type_url: Annotated[str, Field(alias="@type")]


class _OperationResponse(TunedModelOut, _Typed):
    """A tuned model, packed as protobuf's Any."""


_ANY_MESSAGE = WithJsonSchema({"title": "Response", "type": "object", "additionalProperties": True})


class OperationOut(Message):
    """An operation; when it is done, `response` holds the tuned model or `error` says why there is none."""

    name: str
    metadata: MetadataOut
    done: bool | None = None
    response: Annotated[Any, _ANY_MESSAGE] = None
    error: StatusOut | None = None


class TaskLogOut(Message):
    """Extension: what a task said last, oldest line first, each with its time; empty once the server began anew."""

    lines: list[str]


class OperationsPage(Message):
    """The operations of a tuned model."""

    operations: list[OperationOut] | None
    next_page_token: str | None


def operation_out(
    model: TunedModel, version: str, *, waiting_before: int | None = None, with_extensions: bool = False
) -> OperationOut:
    """
    Return the operation of a tuned model, as shown in API `version`; `waiting_before` tasks are ahead in the queue.

    Extensions are for callers who ask: Google's old client polls with a parser that raises on unknown fields.
    """
    # old clients know only the types of v1beta, so /v1 names them too
    package = f"{TYPE_URL}.{'v1beta' if version == 'v1' else version}"
    out = OperationOut(name=model.operation_name, metadata=_metadata(model, package, waiting_before))
    match model.task.phase:
        case Phase.SUCCEEDED:
            shown = _OperationResponse(type_url=f"{package}.TunedModel", **dict(tuned_model_out(model)))
            out = out.model_copy(update={"done": True, "response": shown})
        case phase if phase.is_final:
            error = StatusOut(code=model.task.error_code or 0, message=model.task.error_message or "")
            out = out.model_copy(update={"done": True, "error": error})
    return out if with_extensions else without_extensions(out)


def _metadata(model: TunedModel, package: str, waiting_before: int | None) -> MetadataOut:
    task = model.task
    done = task.total_steps if task.phase is Phase.SUCCEEDED else task.completed_steps
    return MetadataOut(
        type_url=f"{package}.CreateTunedModelMetadata",
        total_steps=task.total_steps,
        completed_steps=done,
        completed_percent=100.0 * done / task.total_steps if task.snapshots else None,
        snapshots=snapshots_out(task.snapshots) or None,
        tuned_model=model.name,
        phase=task.phase,
        waiting_before=waiting_before if task.phase is Phase.QUEUED else None,
        epoch_losses=[epoch_loss_out(loss) for loss in task.epoch_losses] or None,
        advice=advice_out(task),
    )


_GRANTEE_TYPES = {1: "USER", 2: "GROUP", 3: "EVERYONE"}
_ROLES = {1: "OWNER", 2: "WRITER", 3: "READER"}


class PermissionIn(StrictIncoming):
    """A permission to be given or changed."""

    name: str | None = None
    grantee_type: Annotated[GranteeType | None, enum_name(_GRANTEE_TYPES)] = None
    email_address: str | None = None
    role: Annotated[Role | None, enum_name(_ROLES)] = None


class TransferIn(StrictIncoming):
    """To whom a tuned model is handed on."""

    name: str | None = None
    email_address: str | None = None


class PermissionOut(Message):
    """A permission."""

    name: str
    grantee_type: GranteeType
    email_address: str | None
    role: Role


class PermissionsPage(Message):
    """A page of permissions."""

    permissions: list[PermissionOut] | None
    next_page_token: str | None


def permission_out(permission: Permission) -> PermissionOut:
    """Return a permission as the API shows it."""
    return PermissionOut(
        name=f"tunedModels/{permission.tuned_model_id}/permissions/{permission.id}",
        grantee_type=permission.grantee_type,
        email_address=permission.email_address,
        role=permission.role,
    )
