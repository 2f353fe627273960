"""Small, valid values for the tests of `service`; each test changes only what it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tunery.service.answering_child import RowsCounted, count_rows
from tunery.service.library import Library
from tunery.service.tuning import Progress, TuningRequest
from tunery.types import DataFacts, Hyperparameters, Phase, TunedModel, TuningExample, TuningSnapshot, TuningTask

EXAMPLES = tuple(TuningExample(str(number), str(number + 1)) for number in range(15))
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class CountingHere:
    """The answering child's count of rows, without the child."""

    def __init__(self, data_folder: Path) -> None:
        self._data_folder = data_folder

    def count_rows(self, base_model: str, examples: tuple[TuningExample, ...], _: str = "") -> RowsCounted:
        from tunery.engine.resident import loaded_base  # torch, which the servers with a fake trainer do without

        return count_rows(1, loaded_base(base_model, self._data_folder), examples)


def a_request(**changes: Any) -> TuningRequest:
    """Return a request of 15 examples, 5 epochs, batches of 4: 19 steps."""
    request = TuningRequest(
        base_model="smollm2-135m-instruct",
        base_digest="base-digest",
        data=DataFacts(rows=15, sha256="data-digest", source="numbers.csv"),
        examples=EXAMPLES,
        hyperparameters=Hyperparameters().resolve(),
        display_name="Next number",
    )
    return replace(request, **changes)


def a_curve(steps: int) -> tuple[TuningSnapshot, ...]:
    """Return the snapshots of a number of steps, one a second, with falling loss."""
    return tuple(
        TuningSnapshot(step, step * 4 // 15, 3.2 / step, START + timedelta(seconds=step))
        for step in range(1, steps + 1)
    )


def write_adapter(folder: Path) -> None:
    """Write two files as an adapter has, one of them in a subfolder."""
    (folder / "adapter_config.json").write_text("{}")
    (folder / "epochs").mkdir()
    (folder / "epochs" / "1.safetensors").write_bytes(bytes(range(256)) * 40)


def claimed(library: Library, **changes: Any) -> TuningTask:
    """Return the task of a new tuned model, claimed by a worker."""
    model = library.create(a_request(**changes))
    task = library.claim("a test", task_id=model.task.id)
    assert task is not None
    return task


def tuned(library: Library, write: Callable[[Path], None] = write_adapter, **changes: Any) -> TunedModel:
    """Return a new tuned model that is ACTIVE."""
    task = claimed(library, **changes)
    library.heartbeat(task, Phase.RUNNING, Progress(step=19, snapshots=a_curve(19)))
    library.heartbeat(task, Phase.PUBLISHING)
    return library.finish(task, Phase.SUCCEEDED, published=library.folder.publish(task, write))


def made_checkpoint(library: Library, task: TuningTask) -> Path:
    """Return the folder for the checkpoints of a task, as its worker makes it."""
    folder = library.folder.checkpoint(task.id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
