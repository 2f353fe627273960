"""
Tuned models, their tasks and operations on the wire (google/ai/generativelanguage/v1beta/tuned_model.proto).

Conversion from and to domain values happens here. Fields of our own are marked as extensions; Google's clients ignore
them. Training data comes in and never goes out: the old client refuses a reply, and a whole list, that has it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tunery.server.wire.base import Incoming, Int32, Int64, Int64List, Message, StrictIncoming, Timestamp
from tunery.types import EpochLoss, Phase, State, TunedModel, TuningSnapshot, TuningTask

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
