"""
The worker of a server: a thread that claims waiting tasks, and a warm child process that works on them.

The child writes files and reports events; this side writes rows, always with the number of its own claim, and requeues
a task whose child died or froze.
"""

from __future__ import annotations

import gc
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tunery.errors import NotFound, TuneryError, Unavailable, as_tunery_error
from tunery.service.database import tasks
from tunery.service.folder import DataFolder
from tunery.service.library import Fenced, Library
from tunery.service.process import Channel, Child, machine_start, memory_kills
from tunery.service.task import SHORT_CURVE, TaskWorker, answer, worker_name
from tunery.service.tuning import Beat, Call, Event, Finish, Loss, Noticed, PhaseEntered, Started, Usage
from tunery.types import Phase, TunedModel, TuningTask

LEASE_SECONDS = 10.0  # a child that is silent for this long counts as frozen
STOP_SECONDS = 8.0  # for writing a checkpoint when the server stops
LEAVE_SECONDS = 0.5  # for an idle child
RENEW_SECONDS = tasks.LEASE_SECONDS / 3  # between two reports, or else renewals of the lease, in a shared database
KEEP_SECONDS = 1.0  # between two looks whether a lease has to be renewed
GIVE_UP_SECONDS = tasks.LEASE_SECONDS - 2  # without a renewal, since another worker may soon take the task
TRY_AGAIN_SECONDS = 0.5  # between two tries of a call while the shared database or the store cannot be reached
COPY_SECONDS = 10.0  # between two copies of a checkpoint to the store
LOOK_SECONDS = 1.0  # between two checks for tasks that nobody announced
BACKOFF_SECONDS = (1.0, 5.0, 30.0, 120.0)
# Answers come first: next to a tuning child of equal priority, they take more than twice as long. Long answers pause
# for it,
# see `answering_child.Pauses`.
NICENESS = 10
SETTLE_SECONDS = 0.3  # between the death of a child and counting it as a loss
RESTART_SECONDS = 30.0  # between two starts of an idle child

_log = logging.getLogger("tunery.worker")


@dataclass(frozen=True, slots=True)
class Warm:
    """To the child: load this base ahead of the first task."""

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
    """To the child: the answer to a `Call`, or the error it raised."""

    value: Any = None
    error: TuneryError | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: it is ready for the next task; `error` is the one the last task ended with."""

    error: TuneryError | None = None


def tuning_child(channel: Channel, data_folder: Path) -> None:
    """Run the child: send events and calls, and follow commands until told to leave."""
    child = _TuningChild(channel, data_folder)
    channel.when_orphaned = child.note_survival
    channel.show_life(lambda: child.is_busy)
    child.serve()


class Worker:
    """
    Works on the tasks of a library, one at a time; `start`, then `wake` after each new task, `stop` at the end.

    `on_success` gets each tuned model whose task ended SUCCEEDED, in the worker's thread, so it has to be quick. Work
    on a task is done within a block of `beside`.
    """

    def __init__(
        self,
        library: Library,
        *,
        warm_base: str | None = None,
        lease_seconds: float = LEASE_SECONDS,
        main: Any = tuning_child,
        on_success: Callable[[TunedModel], None] | None = None,
        beside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._library, self._warm_base, self._lease_seconds, self._main = library, warm_base, lease_seconds, main
        self._on_success, self._beside = on_success, beside
        self._wanted = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tuning worker", daemon=True)
        self._child: Child | None = None
        self._child_time = float("-inf")  # when the last child was started
        self._stop_time = 0.0
        self._has_begun = False  # whether the child has sent an event of its task
        self._is_cut_off = False  # whether the child was killed because another worker may have its task
        self._held_back: dict[str, tuple[int, float]] = {}  # task: losses, monotonic time until which it waits
        self._epochs = 0  # of the current task whose losses are in its log
        self._usage: Usage | None = None  # of the current task's process
        self._report_time = float("-inf")  # of the last report of the current task that was written as RUNNING
        self._reported_checkpoint: int | None = None  # its step
        self.current_task_id: str | None = None

    def usage_of(self, task_id: str) -> Usage | None:
        """Return what the process of a task took at its last beat; None unless it is the current one."""
        return self._usage if task_id == self.current_task_id else None

    @property
    def child_pid(self) -> int | None:
        """The process that tunes or waits for a task; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Start working, with the base loaded before the first task."""
        self._thread.start()

    def wake(self) -> None:
        """Look for tasks now."""
        self._wanted.set()

    def begin_stop(self) -> None:
        """Take no further tasks and have the current one put back with a checkpoint; return immediately."""
        if not self._is_stopping.is_set():
            self._stop_time = time.monotonic()
        self._is_stopping.set()
        self._wanted.set()
        if (child := self._child) is not None:
            child.send(Leave())

    def stop(self) -> None:
        """
        Stop, and return when nothing is running any more; the child is killed STOP_SECONDS after it was told to leave.
        """
        self.begin_stop()
        self._thread.join(max(0.0, self._stop_time + STOP_SECONDS - time.monotonic()))
        while self._thread.is_alive():
            if (child := self._child) is not None:
                child.kill()
            self._thread.join(0.1)
        if self._child is not None:
            self._child.stop(LEAVE_SECONDS)

    def _loop(self) -> None:
        while not self._is_stopping.is_set():
            self._wanted.clear()
            try:
                self._keep_warm()
                self._library.take_back_lost_tasks(Loss.ERROR)  # we hold none, so a bug of ours left such a row
                task = self._claim()
                if task is None:
                    self._wanted.wait(self._seconds_to_look())
                else:
                    with self._beside():
                        self._work(task)
            except TuneryError as error:  # a full disk or a locked database, which may be temporary
                _log.warning("The worker waits: %s", error)
                self._is_stopping.wait(BACKOFF_SECONDS[1])
            except Exception:  # noqa: BLE001  # a single task must not end the loop that all others need
                _log.exception("The worker continues after an unexpected error")
                self._is_stopping.wait(BACKOFF_SECONDS[1])

    def _keep_warm(self) -> None:
        if time.monotonic() - self._child_time > RESTART_SECONDS:  # a child that dies at once is not restarted forever
            self._ready_child()

    def _seconds_to_look(self) -> float:
        """Return how long to wait for a wake-up: at most until the pause of a lost task is over."""
        left = [until - time.monotonic() for _, until in self._held_back.values()]
        return max(0.0, min([LOOK_SECONDS, *(seconds for seconds in left if seconds > 0)]))

    def _claim(self) -> TuningTask | None:
        now = time.monotonic()
        held_back = [task_id for task_id, (_, until) in self._held_back.items() if until > now]
        for is_cancelled in (True, False):  # those cancelled with a checkpoint only need to be published
            task = self._library.claim(
                worker_name(), is_cancelled=is_cancelled, held_back=held_back, machine_start=machine_start()
            )
            if task is not None:
                return task
        return None

    def _work(self, task: TuningTask) -> None:
        self._usage, self.current_task_id = None, task.id
        self._epochs = len(task.epoch_losses)
        self._log(task, f"Claimed by {worker_name()}, claim {task.claim_number}")
        kills_before, self._has_begun, self._is_cut_off = memory_kills(), False, False
        self._report_time = float("-inf")
        try:
            model = self._library.find(task.tuned_model_id)
            child = self._ready_child(is_alone=self._library.is_suspect(task))
            with self._keeping(child, task):
                self._fetch_checkpoint(task)
                child.send(Work(model, task))
                self._attend(child, model, task)
        except NotFound:  # deleted since it was claimed; the child has not heard of it yet
            self._end(task, None)
        except (EOFError, TimeoutError) as lost:
            has_died = isinstance(lost, TimeoutError) or child.has_died()
            self._discard_child()
            is_short = child.was_killed and isinstance(lost, EOFError) and memory_kills() > kills_before
            how = "froze" if isinstance(lost, TimeoutError) else "died"
            # a child that dies before its first event never worked on the task, for example because no file could be
            # opened
            is_its_own = self._has_begun and has_died and not self._is_cut_off
            loss = Loss.MEMORY if is_short else Loss.PROCESS if is_its_own else Loss.ERROR
            self._lose(task, how, loss)
        except BaseException:  # a bug of ours: the child is in the middle of the task and would never leave it
            self._discard_child()
            with suppress(TuneryError):
                self._library.release(task)
            self._hold_back(task)  # so that other tasks do not have to wait for it
            raise
        finally:
            self.current_task_id = None

    def _attend(self, child: Child, model: TunedModel, task: TuningTask) -> None:
        """Note the events of the child and answer its calls until its task is done."""
        is_told_to_leave = False
        while True:
            message = child.receive(self._lease_seconds)
            if self._is_stopping.is_set() and not is_told_to_leave:
                child.send(Leave())
                is_told_to_leave = True
            if isinstance(message, Call):
                child.send(self._reply(model, task, message))
            elif isinstance(message, Event):
                self._note(task, message)
            elif isinstance(message, Done):
                self._end(task, message.error)
                return

    @contextmanager
    def _keeping(self, child: Child, task: TuningTask) -> Iterator[None]:
        """Renew the lease of a task within the block, and copy its checkpoints to the store."""
        done, acts = threading.Event(), []
        if self._library.database.is_shared:
            acts.append(partial(self._keep, child, task, done))
        if self._library.store is not None:
            acts.append(partial(self._copy_checkpoints, task, done))
        threads = [threading.Thread(target=act, name="keeping a task", daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()
            self._drop_ended_checkpoint(task)

    def _keep(self, child: Child, task: TuningTask, done: threading.Event) -> None:
        """Renew the lease until done; kill the child if it can no longer be renewed."""
        renewed = time.monotonic()
        while not done.wait(KEEP_SECONDS):
            begun = time.monotonic()
            renewed = max(renewed, self._report_time)
            if begun - renewed < RENEW_SECONDS:
                continue
            try:
                self._library.renew(task)
                renewed = begun
            except Fenced:
                break
            except TuneryError as error:
                _log.warning("The lease of %s was not renewed: %s", task.tuned_model_id, error)
                if time.monotonic() - renewed > GIVE_UP_SECONDS:
                    break
        else:
            return
        self._is_cut_off = True
        child.kill()

    def _fetch_checkpoint(self, task: TuningTask) -> None:
        """Fetch the checkpoint of a task that another machine began."""
        if (store := self._library.store) is not None and task.checkpoint_step:
            folder = self._library.folder.checkpoint(task.id)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            store.fetch_checkpoint(task.id, folder)

    def _drop_ended_checkpoint(self, task: TuningTask) -> None:
        """Remove a checkpoint that may have been copied to the store while the task was ending."""
        if (store := self._library.store) is None:
            return
        with suppress(Unavailable):
            try:
                model = self._library.find(task.tuned_model_id)
                is_over = model.task.id != task.id or model.task.phase.is_final
            except NotFound:
                is_over = True
            if is_over:
                store.discard(f"checkpoints/{task.id}")

    def _copy_checkpoints(self, task: TuningTask, done: threading.Event) -> None:
        is_done = False
        while not is_done:
            is_done = done.wait(COPY_SECONDS)
            try:
                self._library.keep_checkpoint(
                    task
                )  # including the one that was written when the child was told to leave
            except TuneryError as error:
                _log.warning("The checkpoint of %s was not copied: %s", task.tuned_model_id, error)

    def _reply(self, model: TunedModel, task: TuningTask, call: Call) -> Reply:
        self._note_losses(task, call)
        if isinstance(call, Beat):
            self._usage = call.usage
            if self._is_early(call):
                return Reply(False)
        begun = time.monotonic()
        give_up = begun + GIVE_UP_SECONDS
        while True:
            try:
                reply = Reply(answer(self._library, model, task, call))
                if isinstance(call, Beat) and call.phase is Phase.RUNNING:
                    self._report_time, self._reported_checkpoint = begun, call.progress.checkpoint_step
                return reply
            except Unavailable as error:
                # a shared database or store that restarts must not end the jobs of all workers; the lease protects them
                is_over = self._is_cut_off or self._is_stopping.is_set() or time.monotonic() > give_up
                if is_over or not self._library.database.is_shared:
                    return Reply(error=error)
            except TuneryError as error:
                return Reply(error=error)
            self._is_stopping.wait(TRY_AGAIN_SECONDS)

    def _is_early(self, beat: Beat) -> bool:
        """
        Return whether a report is left out: in a shared database, one each RENEW_SECONDS is written.

        A report takes the database about 1 ms of a processor, so those of 10,000 jobs each second would keep ten busy.
        A new checkpoint is always reported, because another machine fetches only what the row names, and so is a long
        curve, which the child sends only every few seconds.
        """
        if (
            len(beat.progress.snapshots or ()) > SHORT_CURVE
            or beat.phase is not Phase.RUNNING
            or not self._library.database.is_shared
        ):
            return False
        is_due = time.monotonic() - self._report_time >= RENEW_SECONDS
        return not is_due and beat.progress.checkpoint_step == self._reported_checkpoint

    def _end(self, task: TuningTask, error: TuneryError | None) -> None:
        if error is not None:
            self._log(task, f"Ended with {error.status}: {error}")
        try:
            model = self._library.find(task.tuned_model_id)
        except NotFound:  # deleted in the meantime; the child may have written files after that
            self._library.tidy(task)
            self._held_back.pop(task.id, None)
            return
        if model.task.phase is not Phase.QUEUED:
            self._held_back.pop(task.id, None)
        elif not self._is_stopping.is_set():  # put back for a cause outside the task, such as a full disk
            self._hold_back(task)
        if self._on_success is not None and (model.task.id, model.task.phase) == (task.id, Phase.SUCCEEDED):
            self._on_success(model)

    def _lose(self, task: TuningTask, how: str, loss: Loss) -> None:
        self._is_stopping.wait(
            SETTLE_SECONDS
        )  # if the server is killed as well, this is not counted as a loss of the task
        cause = " because memory ran out" if loss is Loss.MEMORY else ""
        self._log(task, f"The worker process {how}{cause}; the tuning job resumes from its checkpoint")
        _log.warning("The child working on %s %s%s", task.tuned_model_id, how, cause)
        with suppress(Fenced):
            if self._is_stopping.is_set():  # not the fault of the task
                self._library.release(task)
            else:
                self._library.take_back(task, loss)
                self._hold_back(task)
                self._ready_child()  # it starts while the task is waiting

    def _hold_back(self, task: TuningTask) -> None:
        losses = self._held_back.get(task.id, (0, 0.0))[0]
        pause = BACKOFF_SECONDS[min(losses, len(BACKOFF_SECONDS) - 1)]
        self._held_back[task.id] = (losses + 1, time.monotonic() + pause)

    def _ready_child(self, *, is_alone: bool = False) -> Child:
        if self._child is None or not self._child.is_alive or self._child.is_alone != is_alone:
            self._discard_child()
            self._child_time = time.monotonic()
            path = self._library.folder.path
            self._child = Child("tuning", self._main, path, niceness=NICENESS, is_alone=is_alone)
            if self._warm_base is not None:
                self._child.send(Warm(self._warm_base))
        return self._child

    def _discard_child(self) -> None:
        lost, self._child = self._child, None
        if lost is not None:
            lost.stop()

    def _note(self, task: TuningTask, event: Event) -> None:
        self._has_begun = True
        match event:
            case PhaseEntered(phase):
                self._log(task, f"Phase {phase}")
            case Noticed(text):
                self._log(task, text)
            case Started(settings, step, total):
                self._log(task, f"Step {step} of {total} begins: {_in_words(settings)}")

    def _note_losses(self, task: TuningTask, call: Call) -> None:
        """Log every epoch that has ended."""
        if not isinstance(call, Beat | Finish):
            return
        losses = call.progress.epoch_losses or ()
        for loss in losses[self._epochs :]:
            held_out = "" if loss.held_out_loss is None else f", held-out loss {loss.held_out_loss:.4f}"
            epochs = task.hyperparameters.epoch_count
            self._log(task, f"Epoch {loss.epoch} of {epochs}: mean loss {loss.mean_loss:.4f}{held_out}")
        self._epochs = max(self._epochs, len(losses))

    def _log(self, task: TuningTask, text: str) -> None:
        try:
            self._library.add_to_log(task.tuned_model_id, text)
        except TuneryError as error:  # such as a full disk; the task itself counts
            _log.warning("The log of %s was not written: %s", task.tuned_model_id, error)


def _in_words(settings: Mapping[str, object]) -> str:
    """Return settings as "rank 16, alpha 32.0", leaving out those that are not known yet."""
    shown = ((name.replace("_", " "), value) for name, value in settings.items() if value is not None)
    return ", ".join(f"{name} {' and '.join(map(str, v)) if isinstance(v, list) else v}" for name, v in shown)


class _TuningChild:
    def __init__(self, channel: Channel, data_folder: Path) -> None:
        self._channel, self._folder = channel, DataFolder(data_folder)
        self._is_leaving = False
        self._task: TuningTask | None = None
        # an idle child sends nothing, because the server is not reading and the pipe would fill up
        self.is_busy = False

    def serve(self) -> None:
        while not self._is_leaving:
            message = self._channel.messages.get()
            self.is_busy = True
            match message:
                case Warm(base_model):
                    self._warm(base_model)
                case Work(model, task):
                    self._channel.send(Done(self._work(model, task)))
                    gc.collect()  # now, while nobody waits; the collector itself would let many tasks pass
                case Leave():
                    return
            self.is_busy = False

    def note_survival(self) -> None:
        """Leave a file that says that the server died while the process of this task was alive."""
        if self._task is not None:
            witness = self._folder.witness(self._task.id, self._task.claim_number)
            witness.parent.mkdir(mode=0o700, exist_ok=True)  # fails if the data folder was removed
            witness.touch(mode=0o600)

    def call(self, call: Call) -> Any:
        """Have the server carry out a call; return its answer or raise its error."""
        self._channel.send(call)
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
            resident_base(base_model, self._folder.path)
        except Exception as error:  # noqa: BLE001  # the task that needs the base will report it to its user
            _log.warning("The base %s was not loaded ahead: %r", base_model, error)

    def _work(self, model: TunedModel, task: TuningTask) -> TuneryError | None:
        self._task = task
        try:
            with closing(TaskWorker(model, task, self._folder, self.call).events()) as events:
                for event in events:
                    self._channel.send(event)
                    self._look_for_leave()
                    if self._is_leaving:
                        break
        except Fenced:
            return None
        except Exception as error:  # noqa: BLE001  # its worker wrote it into the task; the child continues
            if not isinstance(error, TuneryError):
                _log.exception("The tuning job of %s failed", model.id)
            return as_tunery_error(error)
        finally:
            self._task = None
        return None

    def _look_for_leave(self) -> None:
        with suppress(queue.Empty):
            self._is_leaving |= isinstance(self._channel.messages.get_nowait(), Leave)
