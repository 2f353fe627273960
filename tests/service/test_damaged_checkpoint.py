"""Damaged checkpoints and epochs: the task begins again, says so, and has the bytes of an undisturbed run."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.tiny_bases import make_folder
from tests.service.test_task import adapter, created, left_after, worked
from tunery.engine import tuner as tuning
from tunery.engine.catalog import Catalog
from tunery.engine.resident import resident_base
from tunery.errors import FailedPrecondition, Unavailable
from tunery.service.library import Library
from tunery.service.task import TaskWorker
from tunery.service.tuning import Event, Noticed, PhaseEntered, Started, StepDone
from tunery.types import Hyperparameters, Phase, State, TunedModel, TuningExample

STEPS = 9


@pytest.fixture(scope="module")
def home_with_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    Catalog(folder / "home").add(str(make_folder(folder / "base")), "tiny")
    return folder / "home"


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune in one number format: what is faster is measured, and decides which epoch is the best."""
    monkeypatch.setattr("tunery.engine.base.fast_dtype", lambda: torch.float32)
    resident_base.cache_clear()


@pytest.fixture
def library(home_with_base: Path) -> Iterator[Library]:
    with Library.own(home_with_base) as library:
        yield library


def made(library: Library) -> TunedModel:
    """Return a new tuned model whose best epoch is not the last one: three epochs, three steps each."""
    values = Hyperparameters(epoch_count=3, learning_rate=0.3).resolve()
    return created(
        library, hyperparameters=values, held_out=(TuningExample("40", "###"), TuningExample("41", "@@@@@@"))
    )


@pytest.fixture
def undisturbed(library: Library) -> bytes:
    """Return the adapter of a run that nothing disturbed."""
    model = made(library)
    worked(TaskWorker.claim(library, model))
    best = library.get(model.id).task.settings["best_epoch"]
    assert best != 3
    return adapter(library, model)


def worked_until(worker: TaskWorker, is_time: Callable[[Event], bool], harm: Callable[[], object]) -> None:
    """Work on a task, and do harm at one of its events."""
    for event in worker.events():
        if is_time(event):
            harm()


def _is_last_step(event: Event) -> bool:
    return isinstance(event, StepDone) and event.snapshot.step == STEPS


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 4
    path.write_bytes(content)


CHECKPOINT = "checkpoint.safetensors"
HARMS: dict[str, Callable[[Path], object]] = {
    "missing": lambda folder: (folder / CHECKPOINT).unlink(),
    "folder missing": shutil.rmtree,
    "empty": lambda folder: (folder / CHECKPOINT).write_bytes(b""),
    "cut": lambda folder: _cut(folder / CHECKPOINT),
    "length flipped": lambda folder: _flip(folder / CHECKPOINT, 1),
    "header flipped": lambda folder: _flip(folder / CHECKPOINT, 300),
    "weights flipped": lambda folder: _flip(folder / CHECKPOINT, -1000),
    "epochs missing": lambda folder: shutil.rmtree(folder / "epochs"),
    "an epoch missing": lambda folder: shutil.rmtree(folder / "epochs" / "1"),
    "an epoch empty": lambda folder: (folder / "epochs" / "1" / "adapter_model.safetensors").write_bytes(b""),
    "an epoch flipped": lambda folder: _flip(folder / "epochs" / "1" / "adapter_model.safetensors", -100),
    "its settings flipped": lambda folder: _flip(folder / "epochs" / "1" / "adapter_config.json", 50),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_damaged_checkpoint_begins_again_and_says_so(
    library: Library, undisturbed: bytes, harm: Callable[[Path], object]
) -> None:
    """Left after 7 of 9 steps and damaged, the task succeeds with the bytes of an undisturbed run and a notice."""
    model = made(library)
    left_after(TaskWorker.claim(library, model), 7)
    harm(library.folder.checkpoint(model.task.id))

    events = worked(TaskWorker.claim(library, library.get(model.id)))

    notices = [event.text for event in events if isinstance(event, Noticed)]
    assert any("starts over at step 1" in text for text in notices), notices
    assert [event.step for event in events if isinstance(event, Started)] == [1]
    assert library.get(model.id).task.phase is Phase.SUCCEEDED
    assert adapter(library, model) == undisturbed


@pytest.mark.parametrize("at", range(8))
def test_a_bit_flipped_anywhere_never_gives_other_bytes(library: Library, undisturbed: bytes, at: int) -> None:
    """One bit of a checkpoint folder, at a place drawn by chance, changes no byte of the result."""
    order = random.Random(at)
    model = made(library)
    left_after(TaskWorker.claim(library, model), order.randint(3, 8))
    files = sorted(path for path in library.folder.checkpoint(model.task.id).rglob("*") if path.is_file())
    _flip(order.choice(files), order.randrange(1 << 30))

    worked(TaskWorker.claim(library, library.get(model.id)))

    assert adapter(library, model) == undisturbed


@pytest.mark.parametrize("harm", [shutil.rmtree, lambda epoch: _flip(epoch / "adapter_model.safetensors", -100)])
def test_an_epoch_damaged_after_it_was_written_is_not_published(
    library: Library, undisturbed: bytes, harm: Callable[[Path], object]
) -> None:
    """The task is put back without its checkpoint and says so; the next try gives the bytes of an undisturbed run."""
    model = made(library)
    worker = TaskWorker.claim(library, model)
    epochs = library.folder.checkpoint(model.task.id) / "epochs"

    with pytest.raises(Unavailable, match=r"epochs.1.*starts over"):
        worked_until(worker, _is_last_step, lambda: harm(epochs / "1"))

    task = library.get(model.id).task
    assert (task.phase, task.checkpoint_step, worker.resume_step) == (Phase.QUEUED, 0, 1)
    assert not library.folder.checkpoint(task.id).exists()
    worked(TaskWorker.claim(library, library.get(model.id)))
    assert adapter(library, model) == undisturbed


def test_an_epoch_damaged_while_it_is_published_is_not_published(library: Library, undisturbed: bytes) -> None:
    """Also past the commit point."""
    model = made(library)
    epoch = library.folder.checkpoint(model.task.id) / "epochs" / "2"

    with pytest.raises(Unavailable, match="starts over"):
        worked_until(
            TaskWorker.claim(library, model),
            lambda event: event == PhaseEntered(Phase.PUBLISHING),
            lambda: _flip(epoch / "adapter_model.safetensors", -100),
        )

    assert library.get(model.id).task.phase is Phase.QUEUED
    worked(TaskWorker.claim(library, library.get(model.id)))
    assert adapter(library, model) == undisturbed


def test_a_checkpoint_that_the_disk_cannot_read_begins_again(
    library: Library, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO of the one file would come again for ever."""
    model = made(library)
    left_after(TaskWorker.claim(library, model), 7)
    real = tuning.tensor_shapes

    def failing(path: Path) -> Any:
        if path.name == CHECKPOINT:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path)

    monkeypatch.setattr(tuning, "tensor_shapes", failing)
    worked(TaskWorker.claim(library, library.get(model.id)))

    assert adapter(library, model) == undisturbed


def test_a_cancelled_task_with_a_damaged_checkpoint_ends(library: Library) -> None:
    """There is nothing to publish: CANCELLED, and the model cannot be used."""
    model = made(library)
    left_after(TaskWorker.claim(library, model), 4)
    library.request_cancel(model.id)
    (library.folder.checkpoint(model.task.id) / CHECKPOINT).write_bytes(b"")

    worked(TaskWorker.claim(library, library.get(model.id)))

    ended = library.get(model.id)
    assert (ended.task.phase, ended.state) == (Phase.CANCELLED, State.FAILED)


def test_a_missing_source_leaves_the_checkpoint(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of what the task reads is none of its checkpoint."""
    source = created(library)
    worked(TaskWorker.claim(library, source))
    model = created(library, source_tuned_model=source.id)
    left_after(TaskWorker.claim(library, model), 4)
    checkpoint = library.folder.checkpoint(model.task.id)
    content = (checkpoint / CHECKPOINT).read_bytes()
    library.delete(source.id)
    monkeypatch.setattr(TaskWorker, "_fail", lambda *_: None)  # which ends the task with its checkpoint

    with pytest.raises(FailedPrecondition, match="was deleted"):
        worked(TaskWorker.claim(library, library.get(model.id)))

    assert (checkpoint / CHECKPOINT).read_bytes() == content
