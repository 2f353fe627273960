"""
Long-running operations on the wire (google/longrunning/operations.proto), computed from the task of a tuned model.

`metadata` is there from the first reply on, since clients read its `totalSteps` at once; never both `response` and
`error`. Extensions only for those who ask: Google's old client polls with a parser that raises on any field it does not
know, inside `metadata` and `response` too.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tunery.server.wire.base import Message
from tunery.server.wire.tuned_models import (
    AdviceOut,
    EpochLossOut,
    SnapshotOut,
    advice_out,
    epoch_loss_out,
    snapshots_out,
    tuned_model_out,
)
from tunery.types import Phase, TunedModel

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


class OperationOut(Message):
    """An operation; when it is done, `response` holds the tuned model or `error` says why there is none."""

    name: str
    metadata: MetadataOut
    done: bool | None
    response: dict[str, Any] | None
    error: StatusOut | None


class TaskLogOut(Message):
    """Extension: what a task said last, oldest line first, each with its time; empty once the server began anew."""

    lines: list[str]


class OperationsPage(Message):
    """The operations of a tuned model."""

    operations: list[OperationOut] | None
    next_page_token: str | None


def operation_json(
    model: TunedModel, version: str, *, waiting_before: int | None = None, with_extensions: bool = False
) -> dict[str, Any]:
    """
    Return the operation of a tuned model as version `v1beta` or another shows it.

    `waiting_before` tasks are before it in the queue. Old clients know only the types of v1beta, so /v1 uses them too.
    """
    task = model.task
    family = f"{TYPE_URL}.{'v1beta' if version == 'v1' else version}"
    metadata = _metadata(model, family, waiting_before).json_object(with_extensions=with_extensions)
    operation: dict[str, Any] = {"name": model.operation_name, "metadata": metadata}
    if not task.phase.is_final:
        return operation
    if task.phase is Phase.SUCCEEDED:
        shown = tuned_model_out(model).json_object(with_extensions=with_extensions)
        response = {"@type": f"{family}.TunedModel", **shown}
        return operation | {"done": True, "response": response}
    return operation | {"done": True, "error": {"code": task.error_code, "message": task.error_message}}


def _metadata(model: TunedModel, family: str, waiting_before: int | None) -> MetadataOut:
    task = model.task
    done = task.total_steps if task.phase is Phase.SUCCEEDED else task.completed_steps
    return MetadataOut(
        type_url=f"{family}.CreateTunedModelMetadata",
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
