"""
Tuned models and bases as JSON documents: Google's field names in snake_case, times in ISO 8601.

What `--json` prints, in one place. Knows the domain values; nothing of terminals.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from tunery.types import CatalogEntry, TunedModel, TuningTask


def dumped(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def model_document(model: TunedModel, data_folder: Path, *, has_curve: bool = True) -> dict[str, object]:
    """Return a tuned model with its task; without `has_curve` the snapshots are left out."""
    return {
        "name": model.name,
        "display_name": model.display_name,
        "description": model.description,
        "base_model": model.base_model,
        "base_digest": model.base_digest,
        "state": model.state.value,
        "create_time": _time(model.create_time),
        "update_time": _time(model.update_time),
        "adapter_folder": str(data_folder / model.artifact) if model.artifact else None,
        "tuning_task": _task_document(model.task, has_curve),
    }


def base_document(entry: CatalogEntry) -> dict[str, object]:
    return asdict(entry)


def _task_document(task: TuningTask, has_curve: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "phase": task.phase.value,
        "start_time": _time(task.start_time),
        "complete_time": _time(task.complete_time),
        "hyperparameters": {
            "epoch_count": task.hyperparameters.epoch_count,
            "batch_size": task.hyperparameters.batch_size,
            "learning_rate": task.hyperparameters.learning_rate,
        },
        "seed": task.seed,
        "data": asdict(task.data),
        "held_out_rows": task.held_out_rows,
        "completed_steps": task.completed_steps,
        "total_steps": task.total_steps,
        "epoch_losses": [asdict(loss) for loss in task.epoch_losses],
        "advice": asdict(task.advice) if task.advice else None,
        "error": None if task.error_code is None else {"code": task.error_code, "message": task.error_message},
        "settings": task.settings,
        "versions": task.versions,
    }
    if has_curve:
        document["snapshots"] = [{**asdict(s), "compute_time": _time(s.compute_time)} for s in task.snapshots]
    return document


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
