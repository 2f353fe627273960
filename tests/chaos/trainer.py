"""
A fake trainer: it takes a task through its phases as the real one does, in milliseconds and without torch.

It runs in the child of a real worker, so that only the steps are fake. Each step is written to the file named by
TUNERY_TEST_STEPS: monotonic time, process, task, claim, step.
"""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.service.samples import write_adapter
from tunery.errors import ResourceExhausted, Unavailable
from tunery.files import write_whole
from tunery.service import worker
from tunery.service.answering_child import (
    AnswerChunk,
    Ask,
    Count,
    Counted,
    CountRows,
    Refused,
    RenderRows,
    RowsCounted,
    RowsRendered,
)
from tunery.service.folder import DataFolder
from tunery.service.process import SIGN_OF_LIFE_SECONDS, Alive, Channel
from tunery.service.tuning import Beat, Call, Ended, Event, Finish, PhaseEntered, Progress, PutBack, Started, StepDone
from tunery.types import Phase, TunedModel, TuningSnapshot, TuningTask

FATAL = "fatal"  # a model of this name takes the server with it
STEP_SECONDS = float(os.environ.get("TUNERY_TEST_STEP_SECONDS", "0.02"))
CHECKPOINT_STEPS = 3


def main(channel: Channel, data_folder: Path) -> None:
    """Run the tuning child with the fake trainer."""
    worker.TaskWorker = FakeTaskWorker  # type: ignore[assignment,misc]
    worker._TuningChild._warm = lambda *_: None  # type: ignore[method-assign]
    worker.tuning_child(channel, data_folder)


def refusing(channel: Channel, data_folder: Path) -> None:  # noqa: ARG001
    """Run an answering child that refuses every question."""
    while True:
        with suppress(queue.Empty):
            message = channel.messages.get(timeout=SIGN_OF_LIFE_SECONDS / 4)
            if isinstance(message, Ask | Count | CountRows):
                channel.send(Refused(message.number, Unavailable("Nothing is answered here.")))
        channel.send(Alive())


def answering(channel: Channel, data_folder: Path) -> None:  # noqa: ARG001
    """Run an answering child that has one answer to everything."""
    while True:
        with suppress(queue.Empty):
            match channel.messages.get(timeout=SIGN_OF_LIFE_SECONDS / 4):
                case Ask(number=number):
                    channel.send(AnswerChunk(number, "7", "STOP", 3, 1))
                case Count(number=number):
                    channel.send(Counted(number, 3))
                case CountRows(number=number, examples=examples):
                    channel.send(RowsCounted(number, (3,) * len(examples), (), 1, 4))
                case RenderRows(number=number, examples=examples):
                    channel.send(RowsRendered(number, tuple(example.text_input for example in examples)))
        channel.send(Alive())


class FakeTaskWorker:
    """Counts up to the last step."""

    def __init__(self, model: TunedModel, task: TuningTask, folder: DataFolder, call: Callable[[Call], Any]) -> None:
        self._folder, self._task, self._call, self._total = folder, task, call, model.task.total_steps
        self._is_fatal = model.display_name == FATAL
        self._snapshots = list(task.snapshots)
        self._checkpoint = folder.checkpoint(task.id) / "step"
        self._step = self._saved = int(self._checkpoint.read_text()) if self._checkpoint.exists() else 0

    def events(self) -> Generator[Event]:
        """Work, and yield what happens."""
        try:
            yield from self._work()
        except ResourceExhausted:
            self._call(PutBack())
            raise
        except GeneratorExit:
            self._save()
            self._beat(Phase.RUNNING)
            self._call(PutBack())
            raise

    def _work(self) -> Generator[Event]:
        yield PhaseEntered(Phase.PREPARING)
        is_cancelled = self._beat(Phase.RUNNING)
        yield Started({}, self._step + 1, self._total)
        if self._is_fatal:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        while self._step < self._total and not is_cancelled:
            time.sleep(STEP_SECONDS)
            self._take_step()
            is_cancelled = self._beat(Phase.RUNNING)
            yield StepDone(self._snapshots[-1])
        if not is_cancelled:
            is_cancelled = self._beat(Phase.PUBLISHING)
        published = self._folder.publish(self._task, write_adapter) if self._step or not is_cancelled else None
        phase = Phase.CANCELLED if is_cancelled else Phase.SUCCEEDED
        yield Ended(self._call(Finish(phase, self._progress(), published)))

    def _beat(self, phase: Phase) -> bool:
        return bool(self._call(Beat(phase, self._progress())))

    def _take_step(self) -> None:
        self._step += 1
        self._snapshots = [*self._snapshots[: self._step - 1], TuningSnapshot(self._step, 0, 1.0, datetime.now(UTC))]
        if self._step % CHECKPOINT_STEPS == 0:
            self._save()
        _note(f"{time.monotonic():.3f} {os.getpid()} {self._task.id} {self._task.claim_number} {self._step}\n")

    def _save(self) -> None:
        if Path(os.environ.get("TUNERY_TEST_DISK_FULL", "/nowhere")).exists():
            raise ResourceExhausted("The disk is full.")
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._checkpoint, str(self._step).encode())
        self._saved = self._step

    def _progress(self) -> Progress:
        return Progress(step=self._step, checkpoint_step=self._saved, snapshots=tuple(self._snapshots))


def _note(line: str) -> None:
    path = os.environ.get("TUNERY_TEST_STEPS")
    if path is None:
        return
    notes = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(notes, line.encode())
    os.close(notes)
