"""
Tuned models, their tasks, operations and permissions on the wire (google/ai/generativelanguage/v1beta/*.proto).

tunery's own fields are marked as extensions. Training data is accepted but never returned in a tuned model, because
Google's old client refuses a reply, or even a whole list, that contains it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from tunery.curve import curve_facts
from tunery.data.tables import MAX_ROWS
from tunery.errors import kind_of
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
from tunery.service.tuning import LOCAL_ADDRESS, LOCAL_USER, RUNNING_PHASES, Usage
from tunery.types import (
    MAX_DATASET_BYTES,
    EpochLoss,
    GranteeType,
    Hyperparameters,
    Permission,
    Phase,
    Role,
    Score,
    SettingsKind,
    State,
    TunedModel,
    TuningSnapshot,
    TuningTask,
    WeightFormat,
)

MAX_SNAPSHOTS = 2000  # a longer curve is thinned out evenly, keeping the first and last snapshots


class TuningExampleIn(StrictIncoming):
    """One example of the training data."""

    text_input: str = ""
    output: str = ""


class TuningExamplesIn(StrictIncoming):
    """The list inside a dataset."""

    examples: list[TuningExampleIn] = Field(default_factory=list, max_length=MAX_ROWS)


class DatasetIn(StrictIncoming):
    """Training data, inline."""

    examples: TuningExamplesIn | None = None


class HyperparametersIn(StrictIncoming):
    """Settings of a tuning task; at most one of the two rates."""

    settings: SettingsKind | None = Field(
        default=None,
        description="Extension: where settings that are not named come from: page, or auto, which fits them to the "
        "examples.",
    )
    epoch_count: Int32 | None = None
    batch_size: Int32 | None = None
    learning_rate: float | None = None
    learning_rate_multiplier: float | None = None
    label_share: float | None = Field(
        default=None, description="Extension: share of the loss of labels, 0 to 1, for outputs that are a closed set."
    )
    weights: str | None = Field(
        default=None,
        description="Extension: how the weights of the base are kept while tuning: auto, full, 8bit or 4bit.",
    )


class DataFactsIn(Incoming):
    """Extension: the user's name for the data; the server computes the other facts."""

    source: str | None = Field(default=None, max_length=200)


class TuningTaskIn(StrictIncoming):
    """The task to run; output-only fields are ignored. `hold_out`, `seed` and `data` are extensions."""

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
    curve: Any = None
    held_out_rows: Any = None
    phase: Any = None
    total_steps: Any = None
    completed_steps: Any = None
    settings: Any = None
    versions: Any = None


class TunedModelSourceIn(StrictIncoming):
    """The tuned model to continue from."""

    tuned_model: str | None = None
    base_model: str | None = None


class TunedModelIn(StrictIncoming):
    """A tuned model to create or change; output-only fields are ignored, since old clients send them back."""

    max_bytes = MAX_DATASET_BYTES

    name: str | None = None
    base_model: str | None = None
    tuned_model_source: TunedModelSourceIn | None = None
    tuned_again_from: str | None = None
    settings_reason: Any = None
    display_name: str | None = None
    description: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[Int32 | None, AfterValidator(lambda k: k or None)] = None  # the old client sends 0 for none
    tuning_task: TuningTaskIn | None = None
    reader_project_numbers: list[Int64] | None = Field(default=None, max_length=1000)
    state: Any = None
    create_time: Any = None
    update_time: Any = None
    error: Any = None
    cancelled: Any = None
    base_weights: Any = None
    base_digest: Any = None
    operation: Any = None
    prompt_contract: Any = None
    input_prefix: Any = None
    output_contract: Any = None
    output_form: Any = None
    wrap_plain_inputs: bool | None = None
    constrain_to_training_outputs: bool | None = None
    refuse_unlike_inputs: bool | None = None
    cancellation: Any = None
    examples_shared: bool | None = None
    served_epoch: Int32 | None = None
    fold_count: Any = None
    score: Any = None
    role: Any = None
    owner: Any = None


class SnapshotOut(Message):
    """One step of the curve; `epoch` is missing if it is 0, as in the original."""

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
    """Extension: advice from the curve."""

    kind: str
    text: str
    epoch_count: int | None


class CurveFactsOut(Message):
    """Extension: a curve as a sentence and as numbers; epochs count from 1."""

    summary: str
    best_epoch: Annotated[int | None, Field(description="The epoch with the lowest held-out loss.")]
    flat_after: Annotated[int | None, Field(description="The epoch after which loss hardly falls, if not the last.")]
    epoch: Annotated[int, Field(description="The pass over the examples that the last step belongs to.")]


class DataFactsOut(Message):
    """Extension: facts about the training data."""

    rows: int
    sha256: str
    source: str


class HyperparametersOut(Message):
    """Settings in force; a multiplier is already applied to the rate."""

    epoch_count: int
    batch_size: int
    learning_rate: float
    label_share: Annotated[float | None, Field(description="Extension: share of the loss of labels.")] = None
    weights: Annotated[
        str | None, Field(description="Extension: how the weights of the base are kept while tuning, if not auto.")
    ] = None


class TuningTaskOut(Message):
    """A tuning task: settings, times and curve."""

    start_time: Timestamp | None
    complete_time: Timestamp | None
    snapshots: list[SnapshotOut] | None
    hyperparameters: HyperparametersOut
    held_out_rows: Annotated[int | None, Field(description="Extension: number of rows held out to measure the model.")]
    seed: Annotated[int, Field(description="Extension.")]
    data: Annotated[DataFactsOut, Field(description="Extension.")]
    phase: Annotated[Phase, Field(description="Extension: the phase of the task.")]
    total_steps: Annotated[int, Field(description="Extension.")]
    completed_steps: Annotated[int, Field(description="Extension.")]
    settings: Annotated[dict[str, Any] | None, Field(description="Extension: machine settings in force.")]
    versions: Annotated[dict[str, str] | None, Field(description="Extension: versions of the software that tuned it.")]
    epoch_losses: Annotated[list[EpochLossOut] | None, Field(description="Extension.")]
    advice: Annotated[AdviceOut | None, Field(description="Extension.")]
    curve: Annotated[CurveFactsOut | None, Field(description="Extension: absent before the first step.")]


class TunedModelSourceOut(Message):
    """The tuned model this one continues from, and the base of both."""

    tuned_model: str
    base_model: str


class TaskErrorOut(Message):
    """Extension: why a tuned model is unusable or incomplete: a google.rpc code, its name and a sentence."""

    code: int
    status: str
    message: str


class ScoreOut(Message):
    """Extension: the score of the newest evaluation, 0 to 1, and that of the base model."""

    metric: str
    value: float
    base_value: float | None
    verdict: str | None


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
    cancelled: Annotated[bool | None, Field(description="Extension: whether it was cancelled before its last step.")]
    cancellation: Annotated[
        str | None, Field(description="Extension, if it was cancelled: at which step, and which epoch answers.")
    ] = None
    error: Annotated[TaskErrorOut | None, Field(description="Extension.")]
    prompt_contract: Annotated[str | None, Field(description="Extension: what the inputs are, in a sentence.")] = None
    input_prefix: Annotated[str | None, Field(description="Extension: text that nearly all inputs begin with.")] = None
    output_contract: Annotated[str | None, Field(description="Extension: what the outputs are, in a sentence.")] = None
    output_form: Annotated[
        str | None,
        Field(description="Extension: LABELS, NUMBER, DATE, JSON or TEXT; answers can be constrained to all but TEXT."),
    ] = None
    wrap_plain_inputs: Annotated[
        bool | None, Field(description="Extension: whether plain inputs get the preamble and label of the examples.")
    ] = None
    constrain_to_training_outputs: Annotated[
        bool | None,
        Field(description="Extension, if the outputs are labels: whether answers are limited to them by default."),
    ] = None
    refuse_unlike_inputs: Annotated[
        bool | None, Field(description="Extension: whether calls whose input is unlike the examples are refused.")
    ] = None
    examples_shared: Annotated[
        bool | None, Field(description="Extension: whether readers may see the examples, which only the owner changes.")
    ] = None
    served_epoch: Annotated[
        int | None, Field(description="Extension: the epoch that answers, which writers change; 0 undoes their choice.")
    ] = None
    fold_count: Annotated[int | None, Field(description="Extension: folds that evaluate the model after tuning.")] = (
        None
    )
    tuned_again_from: Annotated[
        str | None, Field(description="Extension: the tuned model whose examples and settings it repeats.")
    ] = None
    settings_reason: Annotated[
        str | None, Field(description="Extension, if auto settings were asked for: what was chosen and why.")
    ] = None
    score: Annotated[ScoreOut | None, Field(description="Extension: absent until it has been evaluated.")] = None
    role: Annotated[Role | None, Field(description="Extension: the caller's role.")] = None
    owner: Annotated[str | None, Field(description="Extension: the owner: an address, or `local`.")] = None


class TunedModelsPage(Message):
    """A page of tuned models; empty lists are left out."""

    tuned_models: list[TunedModelOut] | None
    next_page_token: str | None


def tuned_model_out(model: TunedModel, score: Score | None = None) -> TunedModelOut:
    """Return a tuned model as the API shows it, with the score of its evaluation."""
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
        cancellation=model.cancellation(),
        error=_error_out(task),
        examples_shared=model.examples_shared or None,
        served_epoch=model.served_epoch,
        fold_count=model.fold_count or None,
        tuned_again_from=f"tunedModels/{model.tuned_again_from}" if model.tuned_again_from else None,
        settings_reason=model.settings_reason,
        score=None if score is None else ScoreOut(**asdict(score)),
    )


def _task_out(task: TuningTask) -> TuningTaskOut:
    return TuningTaskOut(
        start_time=task.start_time,
        complete_time=task.complete_time,
        snapshots=snapshots_out(task.snapshots) or None,
        hyperparameters=hyperparameters_out(task.hyperparameters),
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
        curve=curve_out(task),
    )


def hyperparameters_out(settings: Hyperparameters) -> HyperparametersOut:
    """Return settings as the API shows them; they must be resolved."""
    assert settings.learning_rate is not None
    return HyperparametersOut(
        epoch_count=settings.epoch_count,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        label_share=settings.label_share or None,
        weights=None if settings.weights == WeightFormat.AUTO else settings.weights,
    )


def snapshots_out(snapshots: tuple[TuningSnapshot, ...]) -> list[SnapshotOut]:
    """Return a curve as the API shows it, thinned out evenly if it is very long."""
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


def curve_out(task: TuningTask) -> CurveFactsOut | None:
    """Return the facts of a task's curve as the API shows them, None before the first step."""
    facts = curve_facts(task)
    return None if facts is None else CurveFactsOut(**asdict(facts))


def _error_out(task: TuningTask) -> TaskErrorOut | None:
    if task.error_code is None:
        return None
    status = kind_of(task.error_code).status
    return TaskErrorOut(code=task.error_code, status=status, message=task.error_message or "")


TYPE_URL = "type.googleapis.com/google.ai.generativelanguage"


class StatusOut(Message):
    """How an operation failed: a google.rpc code and a sentence."""

    code: int
    message: str


class UsageOut(Message):
    """What the process of a tuning task takes."""

    processor_cores: Annotated[float, Field(description="Cores in use, a mean over about the last second.")]
    memory_bytes: Annotated[int, Field(description="Memory in use; 0 if it is not known.")]
    peak_memory_bytes: int


class MetadataOut(Message):
    """Progress of a tuning task; clients read `total_steps` from the first reply on."""

    type_url: Annotated[str, Field(alias="@type")]
    total_steps: int
    completed_steps: int
    completed_percent: (
        float | None
    )  # absent before the first snapshot, because guides print the last snapshot if it is present
    snapshots: list[SnapshotOut] | None
    tuned_model: str
    phase: Annotated[Phase | None, Field(description="Extension.")]
    waiting_before: Annotated[int | None, Field(description="Extension: tasks before this one in the queue.")]
    epoch_losses: Annotated[list[EpochLossOut] | None, Field(description="Extension.")]
    advice: Annotated[AdviceOut | None, Field(description="Extension.")]
    curve: Annotated[CurveFactsOut | None, Field(description="Extension: absent before the first step.")]
    seconds_left: Annotated[
        float | None, Field(description="Extension: time left at the pace of the last steps; only while tuning runs.")
    ]
    seconds_to_start: Annotated[
        float | None, Field(description="Extension: time until it starts, at the pace of recent tasks; only if queued.")
    ]
    usage: Annotated[
        UsageOut | None,
        Field(description="Extension: processor and memory of its process; only while it is worked on."),
    ]


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
    """Extension: the last log lines of a task with their times, oldest first."""

    lines: list[str]


class OperationsPage(Message):
    """The operations of a tuned model."""

    operations: list[OperationOut] | None
    next_page_token: str | None


def operation_out(
    model: TunedModel,
    version: str,
    *,
    waiting_before: int | None = None,
    seconds_to_start: float | None = None,
    seconds_left: float | None = None,
    usage: Usage | None = None,
    with_extensions: bool = False,
) -> OperationOut:
    """
    Return the operation of a tuned model, as shown in API `version`; `waiting_before` tasks are ahead in the queue.

    Extensions are only for callers who request them, since Google's old client polls with a parser that raises on
    unknown fields.
    """
    # old clients know only the types of v1beta, so /v1 uses them too
    package = f"{TYPE_URL}.{'v1beta' if version == 'v1' else version}"
    metadata = _metadata(model, package, waiting_before, seconds_to_start, seconds_left, usage)
    out = OperationOut(name=model.operation_name, metadata=metadata)
    match model.task.phase:
        case Phase.SUCCEEDED:
            shown = _OperationResponse(type_url=f"{package}.TunedModel", **dict(tuned_model_out(model)))
            out = out.model_copy(update={"done": True, "response": shown})
        case phase if phase.is_final:
            error = StatusOut(code=model.task.error_code or 0, message=model.task.error_message or "")
            out = out.model_copy(update={"done": True, "error": error})
    return out if with_extensions else without_extensions(out)


def _metadata(
    model: TunedModel,
    package: str,
    waiting_before: int | None,
    seconds_to_start: float | None,
    seconds_left: float | None,
    usage: Usage | None,
) -> MetadataOut:
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
        curve=curve_out(task),
        seconds_left=seconds_left,
        seconds_to_start=seconds_to_start if task.phase is Phase.QUEUED else None,
        usage=None if usage is None or task.phase not in RUNNING_PHASES else UsageOut(**asdict(usage)),
    )


_GRANTEE_TYPES = {1: "USER", 2: "GROUP", 3: "EVERYONE"}
_ROLES = {1: "OWNER", 2: "WRITER", 3: "READER"}


class PermissionIn(StrictIncoming):
    """A permission to create or change."""

    name: str | None = None
    grantee_type: Annotated[GranteeType | None, enum_name(_GRANTEE_TYPES)] = None
    email_address: str | None = None
    role: Annotated[Role | None, enum_name(_ROLES)] = None


class TransferIn(StrictIncoming):
    """The new owner of a tuned model."""

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
    """Return a permission as the API shows it, with an address even for the local user."""
    is_local = permission.grantee_type is GranteeType.USER and permission.email_address == LOCAL_USER
    return PermissionOut(
        name=f"tunedModels/{permission.tuned_model_id}/permissions/{permission.id}",
        grantee_type=permission.grantee_type,
        email_address=LOCAL_ADDRESS if is_local else permission.email_address,
        role=permission.role,
    )
