"""
The child that tunes: takes claimed tasks over its line and works on them, one after the other, with the base kept warm.

The database belongs to the server, so what a worker asks of the library goes over the line as a `Call`; files it writes
itself. Knows `run.TaskWorker`; nothing of HTTP.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import TuneryError
from tunery.files import publish
from tunery.service.children.process import SIGN_OF_LIFE_SECONDS, Alive, Line
from tunery.service.events import Event
from tunery.service.folder import DataFolder
from tunery.service.library import Fenced
from tunery.service.run import TaskWorker
from tunery.service.values import Progress, Published
from tunery.types import Phase, TunedModel, TuningExample, TuningTask

_NOTHING_NEW = Progress()
_log = logging.getLogger("tunery.tuning")


@dataclass(frozen=True, slots=True)
class Warm:
    """To the child: load this base before a task asks for it."""

    base_model: str


@dataclass(frozen=True, slots=True)
class Work:
    """To the child: work on this claimed task."""

    model: TunedModel
    task: TuningTask


@dataclass(frozen=True, slots=True)
class Leave:
    """To the child: write a checkpoint, put the task back and end."""


@dataclass(frozen=True, slots=True)
class Reply:
    """To the child: what a call returned or raised."""

    value: Any = None
    error: TuneryError | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """From the child: a method of the library and its arguments."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happened:
    """From the child: an event of the task."""

    event: Event


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: it is ready for the next task; `error` is how the last one ended, if not well."""

    error: TuneryError | None = None


def main(line: Line, data_folder: Path) -> None:
    """Take commands until told to leave."""
    child = _TuningChild(line, data_folder)
    threading.Thread(target=child.say_alive, name="signs of life", daemon=True).start()
    child.serve()


class _TuningChild:
    def __init__(self, line: Line, data_folder: Path) -> None:
        self._line, self._data_folder = line, data_folder
        self._library = _LibraryOverLine(self, DataFolder(data_folder))
        self._is_leaving = False
        self._is_busy = False  # otherwise nobody reads the signs of life, and the pipe fills up

    def say_alive(self) -> None:
        pause = threading.Event()
        self._line.send(Alive())
        while not pause.wait(SIGN_OF_LIFE_SECONDS):
            if self._is_busy:
                self._line.send(Alive())

    def serve(self) -> None:
        while not self._is_leaving:
            message = self._line.messages.get()
            self._is_busy = True
            match message:
                case Warm(base_model):
                    self._warm(base_model)
                case Work(model, task):
                    self._line.send(Done(self._work(model, task)))
                case Leave():
                    return
            self._is_busy = False

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the library in the server; raises what it raised."""
        self._line.send(Call(method, arguments, options))
        while True:
            match self._line.messages.get():
                case Reply(value, error):
                    if error is not None:
                        raise error
                    return value
                case Leave():
                    self._is_leaving = True

    def _warm(self, base_model: str) -> None:
        from tunery.engine.resident import resident_base

        try:
            resident_base(base_model, self._data_folder)
        except Exception as error:  # noqa: BLE001  # the task that needs the base will say so to its user
            _log.warning("The base %s was not loaded ahead: %r", base_model, error)

    def _work(self, model: TunedModel, task: TuningTask) -> TuneryError | None:
        try:
            with closing(TaskWorker(self._library, model, task).events()) as events:
                for event in events:
                    self._line.send(Happened(event))
                    self._look_for_leave()
                    if self._is_leaving:
                        break
        except Fenced:
            return None
        except TuneryError as error:
            return error
        except Exception as error:  # noqa: BLE001  # written into the task by its worker; the child goes on
            _log.exception("The tuning job of %s failed", model.id)
            return TuneryError(f"Something went wrong: {error!r}.")
        return None

    def _look_for_leave(self) -> None:
        with suppress(queue.Empty):
            self._is_leaving |= isinstance(self._line.messages.get_nowait(), Leave)


class _LibraryOverLine:
    """What stands for the library: rows are written by the server, files by this process."""

    def __init__(self, child: _TuningChild, folder: DataFolder) -> None:
        self._child, self.folder = child, folder

    def claim(
        self,
        worker: str,  # noqa: ARG002
        *,
        task_id: str | None = None,  # noqa: ARG002
        is_cancelled: bool = False,  # noqa: ARG002
        held_back: Collection[str] = (),  # noqa: ARG002
    ) -> TuningTask | None:
        raise AssertionError("the server claims; the child gets claimed tasks")

    def examples(self, model: TunedModel) -> tuple[tuple[TuningExample, ...], tuple[TuningExample, ...]]:
        found: tuple[tuple[TuningExample, ...], tuple[TuningExample, ...]] = self._child.call("examples", model)
        return found

    def source_adapter(self, model: TunedModel) -> Path | None:
        found: Path | None = self._child.call("source_adapter", model)
        return found

    def heartbeat(self, task: TuningTask, phase: Phase, progress: Progress = _NOTHING_NEW) -> bool:
        return bool(self._child.call("heartbeat", task, phase, progress))

    def request_cancel(self, name: str) -> TunedModel:
        return _model(self._child.call("request_cancel", name))

    def checkpoint_folder(self, task: TuningTask) -> Path:
        folder = self.folder.checkpoint(task.id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def publish(self, task: TuningTask, write: Callable[[Path], None], *, needed_bytes: int | None = None) -> Published:
        folder = self.folder.adapter(task)
        return Published(folder, task.fencing_epoch, publish(folder, write, needed_bytes=needed_bytes))

    def finish(
        self,
        task: TuningTask,
        phase: Phase,
        progress: Progress = _NOTHING_NEW,
        *,
        published: Published | None = None,
        error: TuneryError | None = None,
    ) -> TunedModel:
        return _model(self._child.call("finish", task, phase, progress, published=published, error=error))

    def release(self, task: TuningTask) -> None:
        self._child.call("release", task)


def _model(value: object) -> TunedModel:
    assert isinstance(value, TunedModel)
    return value
