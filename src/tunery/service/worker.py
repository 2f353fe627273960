"""
The worker loop of a server: claims waiting tasks, has a child process work on them, and takes back what it loses.

One thread and one warm child. The child writes files, this thread writes rows, always under the fencing epoch of the
claim. It knows the library and the child; nothing of tensors or HTTP.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunery.errors import NotFound, TuneryError
from tunery.files import publish
from tunery.service.folder import DataFolder
from tunery.service.library import Fenced, Library
from tunery.service.phases import Event, Noticed, PhaseEntered, Started
from tunery.service.process import Channel, Child, memory_kills
from tunery.service.requests import Progress, Published
from tunery.service.task import TaskWorker, worker_name
from tunery.types import Phase, TunedModel, TuningExample, TuningTask

_NOTHING_NEW = Progress()
_child_log = logging.getLogger("tunery.tuning")


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


def tuning_child(channel: Channel, data_folder: Path) -> None:
    """Take commands until told to leave."""
    child = _TuningChild(channel, data_folder)
    channel.show_life(lambda: child.is_busy)
    child.serve()


class _TuningChild:
    def __init__(self, channel: Channel, data_folder: Path) -> None:
        self._channel, self._data_folder = channel, data_folder
        self._library = _LibraryOverChannel(self, DataFolder(data_folder))
        self._is_leaving = False
        self.is_busy = False  # while idle, no signs of life: the server does not read them, and the pipe would fill up

    def serve(self) -> None:
        while not self._is_leaving:
            message = self._channel.messages.get()
            self.is_busy = True
            match message:
                case Warm(base_model):
                    self._warm(base_model)
                case Work(model, task):
                    self._channel.send(Done(self._work(model, task)))
                case Leave():
                    return
            self.is_busy = False

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the library in the server; raises what it raised."""
        self._channel.send(Call(method, arguments, options))
        while True:
            match self._channel.messages.get():
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
            _child_log.warning("The base %s was not loaded ahead: %r", base_model, error)

    def _work(self, model: TunedModel, task: TuningTask) -> TuneryError | None:
        try:
            with closing(TaskWorker(self._library, model, task).events()) as events:
                for event in events:
                    self._channel.send(Happened(event))
                    self._look_for_leave()
                    if self._is_leaving:
                        break
        except Fenced:
            return None
        except TuneryError as error:
            return error
        except Exception as error:  # noqa: BLE001  # written into the task by its worker; the child goes on
            _child_log.exception("The tuning job of %s failed", model.id)
            return TuneryError(f"Something went wrong: {error!r}.")
        return None

    def _look_for_leave(self) -> None:
        with suppress(queue.Empty):
            self._is_leaving |= isinstance(self._channel.messages.get_nowait(), Leave)


class _LibraryOverChannel:
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


LEASE_SECONDS = 10.0  # a child that says nothing so long is taken for frozen
STOP_SECONDS = 8.0  # to write a checkpoint when the server stops
LEAVE_SECONDS = 0.5  # for a child with nothing to do
LOOK_SECONDS = 1.0  # for tasks that nobody told us of
BACKOFF_SECONDS = (1.0, 5.0, 30.0, 120.0)
NICENESS = 10  # answers come first: beside a tuning child of the same rank they take more than twice as long
RESTART_SECONDS = 30.0  # between two starts of a child that has nothing to do
LOG_LINES = 200
MAX_LOGS = 500

_CALLS = frozenset({"examples", "source_adapter", "heartbeat", "request_cancel", "finish", "release"})

_log = logging.getLogger("tunery.worker")


@dataclass(slots=True)
class TaskLog:
    """What a task said last, for people; lost when the server ends."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    def add(self, text: str) -> None:
        self.lines.append(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}")


class Worker:
    """
    Works on the tasks of a library, one at a time; `start`, then `wake` after each new task, `stop` at the end.

    `on_success` is told of each tuned model whose task ended SUCCEEDED, in the thread of the worker: it must be quick.
    """

    def __init__(
        self,
        library: Library,
        *,
        warm_base: str | None = None,
        lease_seconds: float = LEASE_SECONDS,
        main: Any = tuning_child,
        on_success: Callable[[TunedModel], None] | None = None,
    ) -> None:
        self._library, self._warm_base, self._lease_seconds, self._main = library, warm_base, lease_seconds, main
        self._on_success = on_success
        self._wanted = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tuning worker", daemon=True)
        self._child: Child | None = None
        self._child_time = float("-inf")  # when the last child was started
        self._stop_time = 0.0
        self._held_back: dict[str, tuple[int, float]] = {}  # task: losses, monotonic time until which it waits
        self.logs: dict[str, TaskLog] = {}
        self.current_task_id: str | None = None

    @property
    def child_pid(self) -> int | None:
        """The process that tunes, or waits to; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    @property
    def is_alive(self) -> bool:
        """Say whether the loop goes round."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to work, with the base loaded ahead of the first task."""
        self._thread.start()

    def wake(self) -> None:
        """Look for tasks now."""
        self._wanted.set()

    def begin_stop(self) -> None:
        """Take no further task and have the one in hand put back with a checkpoint; returns at once."""
        if not self._is_stopping.is_set():
            self._stop_time = time.monotonic()
        self._is_stopping.set()
        self._wanted.set()
        if (child := self._child) is not None:
            child.send(Leave())

    def stop(self) -> None:
        """Stop, and return when nothing runs any more; the child is killed STOP_SECONDS after it was told to leave."""
        self.begin_stop()
        self._thread.join(max(0.0, self._stop_time + STOP_SECONDS - time.monotonic()))
        while self._thread.is_alive():
            if (child := self._child) is not None:
                child.kill()
            self._thread.join(0.1)
        if self._child is not None:
            self._child.stop(LEAVE_SECONDS)

    def log_of(self, task_id: str) -> TaskLog:
        """Return the log of a task."""
        if task_id not in self.logs and len(self.logs) >= MAX_LOGS:
            del self.logs[next(iter(self.logs))]
        return self.logs.setdefault(task_id, TaskLog())

    def _loop(self) -> None:
        while not self._is_stopping.is_set():
            self._wanted.clear()
            try:
                self._keep_warm()
                self._library.take_back_lost_tasks()  # we have none in hand: what runs by its row was lost by an error
                task = self._claim()
                if task is None:
                    self._wanted.wait(self._seconds_to_look())
                else:
                    self._work(task)
            except TuneryError as error:  # a disk that is full, a database that is locked: it may pass
                _log.warning("The worker waits: %s", error)
                self._is_stopping.wait(BACKOFF_SECONDS[1])
            except Exception:  # noqa: BLE001  # one task must not end the loop that all others need
                _log.exception("The worker goes on after an error of its own")
                self._is_stopping.wait(BACKOFF_SECONDS[1])

    def _keep_warm(self) -> None:
        if time.monotonic() - self._child_time > RESTART_SECONDS:  # one that dies at once must not be started for ever
            self._ready_child()

    def _seconds_to_look(self) -> float:
        """Return until when to wait for a call: no longer than until the pause of a lost task is over."""
        left = [until - time.monotonic() for _, until in self._held_back.values()]
        return max(0.0, min([LOOK_SECONDS, *(seconds for seconds in left if seconds > 0)]))

    def _claim(self) -> TuningTask | None:
        now = time.monotonic()
        held_back = [task_id for task_id, (_, until) in self._held_back.items() if until > now]
        for is_cancelled in (True, False):  # those cancelled with a checkpoint only need to be published
            task = self._library.claim(worker_name(), is_cancelled=is_cancelled, held_back=held_back)
            if task is not None:
                return task
        return None

    def _work(self, task: TuningTask) -> None:
        self.current_task_id = task.id
        self.log_of(task.id).add(f"Claimed by {worker_name()}, claim {task.fencing_epoch}")
        kills_before = memory_kills()
        try:
            child = self._ready_child()
            child.send(Work(self._library.find(task.tuned_model_id), task))
            self._attend(child, task)
        except NotFound:  # deleted since it was claimed; the child knows nothing of it yet
            self._end(task, None)
        except (EOFError, TimeoutError) as lost:
            self._discard_child()
            is_short = child.was_killed and isinstance(lost, EOFError) and memory_kills() > kills_before
            self._lose(task, "froze" if isinstance(lost, TimeoutError) else "died", is_short_of_memory=is_short)
        except BaseException:  # an error of ours: the child is in the middle of the task and would never leave it
            self._discard_child()
            with suppress(TuneryError):
                self._library.release(task)
            raise
        finally:
            self.current_task_id = None

    def _attend(self, child: Child, task: TuningTask) -> None:
        """Answer the calls of the child until its task is done."""
        is_told_to_leave = False
        while True:
            message = child.receive(self._lease_seconds)
            if self._is_stopping.is_set() and not is_told_to_leave:
                child.send(Leave())
                is_told_to_leave = True
            match message:
                case Call(method, arguments, options):
                    child.send(self._called(method, arguments, options))
                case Happened(event):
                    self._note(task, event)
                case Done(error):
                    self._end(task, error)
                    return

    def _called(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Reply:
        assert method in _CALLS
        try:
            return Reply(getattr(self._library, method)(*arguments, **options))
        except TuneryError as error:
            return Reply(error=error)

    def _end(self, task: TuningTask, error: TuneryError | None) -> None:
        if error is not None:
            self.log_of(task.id).add(f"Ended with {error.status}: {error}")
        try:
            model = self._library.find(task.tuned_model_id)
        except NotFound:  # deleted meanwhile; the child may have written files after that
            self._library.sweep()
            self._held_back.pop(task.id, None)
            return
        if model.task.phase is not Phase.QUEUED:
            self._held_back.pop(task.id, None)
        elif not self._is_stopping.is_set():  # put back for a cause outside of it: a full disk
            self._hold_back(task)
        if self._on_success is not None and (model.task.id, model.task.phase) == (task.id, Phase.SUCCEEDED):
            self._on_success(model)

    def _lose(self, task: TuningTask, how: str, *, is_short_of_memory: bool) -> None:
        cause = " because memory ran out" if is_short_of_memory else ""
        self.log_of(task.id).add(f"The worker process {how}{cause}; the tuning job goes on from its checkpoint")
        _log.warning("The child working on %s %s%s", task.tuned_model_id, how, cause)
        with suppress(Fenced):
            if self._is_stopping.is_set():  # no fault of the task
                self._library.release(task)
            else:
                self._library.take_back(task, is_short_of_memory=is_short_of_memory)
                self._hold_back(task)
                self._ready_child()  # it starts while the task waits; losses are counted, so this ends

    def _hold_back(self, task: TuningTask) -> None:
        losses = self._held_back.get(task.id, (0, 0.0))[0]
        pause = BACKOFF_SECONDS[min(losses, len(BACKOFF_SECONDS) - 1)]
        self._held_back[task.id] = (losses + 1, time.monotonic() + pause)

    def _ready_child(self) -> Child:
        if self._child is None or not self._child.is_alive:
            self._discard_child()
            folder: Path = self._library.folder.path
            self._child_time = time.monotonic()
            self._child = Child("tuning", self._main, folder, niceness=NICENESS)
            if self._warm_base is not None:
                self._child.send(Warm(self._warm_base))
        return self._child

    def _discard_child(self) -> None:
        lost, self._child = self._child, None
        if lost is not None:
            lost.stop()

    def _note(self, task: TuningTask, event: Event) -> None:
        log = self.log_of(task.id)
        match event:
            case PhaseEntered(phase):
                log.add(f"Phase {phase}")
            case Noticed(text):
                log.add(text)
            case Started(settings, step, total):
                log.add(f"Step {step} of {total} begins; {settings}")
