"""
Rows to domain values and back; the one place where they are converted.

It knows the columns of `tables.py` and the types of `tunery.types`; it sends no statement.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tunery.service.values import Progress, TuningRequest
from tunery.types import (
    Advice,
    DataFacts,
    EpochLoss,
    Hyperparameters,
    Phase,
    State,
    TunedModel,
    TuningExample,
    TuningSnapshot,
    TuningTask,
)

# step u32, epoch u32, mean_loss f64, compute_time f64 in seconds since 1970 UTC: 24 bytes a snapshot.
# One value of 24 × steps bytes instead of a row per step: a million models of 188 steps are 4.5 GB, not 188 M rows.
_SNAPSHOT = struct.Struct("<IIdd")

Row = Mapping[Any, Any]  # values by column name


def pack_snapshots(snapshots: Iterable[TuningSnapshot]) -> bytes:
    """Return 24 bytes for each snapshot."""
    return b"".join(_SNAPSHOT.pack(s.step, s.epoch, s.mean_loss, s.compute_time.timestamp()) for s in snapshots)


def unpack_snapshots(packed: bytes) -> tuple[TuningSnapshot, ...]:
    """Return the snapshots that `pack_snapshots` packed."""
    return tuple(
        TuningSnapshot(step, epoch, loss, datetime.fromtimestamp(seconds, UTC))
        for step, epoch, loss, seconds in _SNAPSHOT.iter_unpack(packed)
    )


def task_from_row(row: Row) -> TuningTask:
    """Return the task of a row of `tuning_tasks`; without the column `snapshots` its curve is empty."""
    return TuningTask(
        id=row["id"],
        tuned_model_id=row["tuned_model_id"],
        phase=Phase(row["phase"]),
        hyperparameters=Hyperparameters(row["epoch_count"], row["batch_size"], row["learning_rate"]),
        seed=row["seed"],
        data=DataFacts(row["data_rows"], row["data_sha256"], row["data_source"]),
        held_out_rows=row["held_out_rows"],
        total_steps=row["total_steps"],
        completed_steps=row["completed_steps"],
        checkpoint_step=row["checkpoint_step"],
        fencing_epoch=row["fencing_epoch"],
        cancel_requested=row["cancel_requested"],
        micro_batch_size=row["micro_batch_size"],
        create_time=row["create_time"],
        start_time=row["start_time"],
        complete_time=row["complete_time"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        operation_id=row["operation_id"],
        user_id=row["user_id"],
        snapshots=unpack_snapshots(row.get("snapshots", b"")),
        epoch_losses=tuple(EpochLoss(**loss) for loss in row["epoch_losses"] or ()),
        advice=Advice(**row["advice"]) if row["advice"] else None,
        settings=row["settings"] or {},
        versions=row["versions"] or {},
    )


def model_from_rows(model: Row, task: Row) -> TunedModel:
    """Return the tuned model of a row of `tuned_models` and the row of its task."""
    epoch = task["artifact_epoch"]
    return TunedModel(
        id=model["id"],
        display_name=model["display_name"],
        description=model["description"],
        base_model=model["base_model"],
        base_digest=model["base_digest"],
        state=State(model["state"]),
        task=task_from_row(task),
        create_time=model["create_time"],
        update_time=model["update_time"],
        artifact=None if epoch is None else artifact_path(task["id"], epoch),
        manifest_sha256=task["manifest_sha256"],
        temperature=model["temperature"],
        top_p=model["top_p"],
        top_k=model["top_k"],
        reader_project_numbers=tuple(model["reader_project_numbers"] or ()),
        source_tuned_model=model["source_tuned_model"],
        base_name_asked=model["base_name_asked"],
    )


def artifact_path(task_id: str, fencing_epoch: int) -> str:
    """Return where the adapter of one claim of a task is published, relative to the data folder."""
    return f"models/{task_id}/{fencing_epoch}"


def model_to_row(model_id: str, request: TuningRequest, now: datetime) -> dict[str, object]:
    """Return the row of `tuned_models` for a request."""
    return {
        "id": model_id,
        "display_name": request.display_name or model_id,
        "description": request.description,
        "base_model": request.base_model,
        "base_digest": request.base_digest,
        "state": State.CREATING,
        "create_time": now,
        "update_time": now,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "reader_project_numbers": list(request.reader_project_numbers) or None,
        "source_tuned_model": request.source_tuned_model,
        "base_name_asked": request.base_name_asked,
    }


def task_to_row(request: TuningRequest, now: datetime) -> dict[str, object]:
    """Return what a request says of its row in `tuning_tasks`; the ids are the caller's."""
    return {
        "phase": Phase.QUEUED,
        "total_steps": request.total_steps,
        "request_sha256": request.sha256(),
        "create_time": now,
        "epoch_count": request.hyperparameters.epoch_count,
        "batch_size": request.hyperparameters.batch_size,
        "learning_rate": request.hyperparameters.learning_rate,
        "seed": request.seed,
        "data_rows": request.data.rows,
        "data_sha256": request.data.sha256,
        "data_source": request.data.source,
        "held_out_rows": len(request.held_out),
        "snapshots": b"",
    }


def examples_to_rows(task_id: str, request: TuningRequest) -> list[dict[str, object]]:
    """Return the rows of `tuning_examples`: the examples, behind them the held-out ones."""
    marked = [(False, example) for example in request.examples] + [(True, example) for example in request.held_out]
    return [
        {"task_id": task_id, "position": position, "is_held_out": is_held_out, **asdict(example)}
        for position, (is_held_out, example) in enumerate(marked)
    ]


def examples_from_rows(rows: Sequence[Row]) -> tuple[list[TuningExample], list[TuningExample]]:
    """Return the examples and the held-out examples of a task."""
    examples: list[TuningExample] = []
    held_out: list[TuningExample] = []
    for row in rows:
        (held_out if row["is_held_out"] else examples).append(TuningExample(row["text_input"], row["output"]))
    return examples, held_out


def progress_to_columns(progress: Progress) -> dict[str, object]:
    """Return the plain columns that a progress report sets; steps and snapshots need care and are not among them."""
    columns: dict[str, object] = {
        "checkpoint_step": progress.checkpoint_step,
        "micro_batch_size": progress.micro_batch_size,
        "epoch_losses": None if progress.epoch_losses is None else [asdict(loss) for loss in progress.epoch_losses],
        "advice": None if progress.advice is None else asdict(progress.advice),
        "settings": None if progress.settings is None else dict(progress.settings),
        "versions": None if progress.versions is None else dict(progress.versions),
    }
    return {name: value for name, value in columns.items() if value is not None}
