"""
The worker loop of a server: claims waiting tasks, has a child process work on them, and takes back what it loses.

One thread and one warm child. The child writes files, this thread writes rows, always under the fencing epoch of the
claim. It knows the library and the child; nothing of tensors or HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunery.errors import NotFound, TuneryError
from tunery.service.children import tuning
from tunery.service.children.process import Child
from tunery.service.events import Event, Noticed, PhaseEntered, Started
from tunery.service.library import Fenced, Library
from tunery.service.memory_kills import memory_kills
from tunery.service.run import worker_name
from tunery.types import Phase, TunedModel, TuningTask

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
        main: Any = tuning.main,
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
            child.send(tuning.Leave())

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
            child.send(tuning.Work(self._library.find(task.tuned_model_id), task))
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
                child.send(tuning.Leave())
                is_told_to_leave = True
            match message:
                case tuning.Call(method, arguments, options):
                    child.send(self._called(method, arguments, options))
                case tuning.Happened(event):
                    self._note(task, event)
                case tuning.Done(error):
                    self._end(task, error)
                    return

    def _called(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuning.Reply:
        assert method in _CALLS
        try:
            return tuning.Reply(getattr(self._library, method)(*arguments, **options))
        except TuneryError as error:
            return tuning.Reply(error=error)

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
                self._child.send(tuning.Warm(self._warm_base))
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
