"""
The trip of one task: claim, load the base, tune, publish, finish.

A generator of events; its consumer owns the loop. `cancel()` between two events ends the task and keeps what was
tuned; closing the generator writes a checkpoint and puts the task back into the queue. It knows the library and the
engine, not who looks on; torch is loaded when the first event has been taken.

    worker = TaskWorker(library, library.create(request))
    with closing(worker.events()) as events:
        for event in events: ...
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tunery.errors import FailedPrecondition, OutOfMemory, ResourceExhausted, TuneryError, Unavailable
from tunery.files import DISK_FULL
from tunery.service.folder import DataFolder
from tunery.service.library import Fenced
from tunery.service.phases import Ended, Event, Noticed, PhaseEntered, Started, StepDone
from tunery.service.requests import Progress, Published
from tunery.types import Phase, TunedModel, TuningExample, TuningTask

if TYPE_CHECKING:
    from tunery.engine.resident import ResidentBase
    from tunery.engine.tuner import Tuner

BEAT_SECONDS = 1.0
CURVE_SECONDS = 5.0  # between two writings of a long curve: the whole is written each time
SHORT_CURVE = 500  # steps; so many are 12 kB, written with each beat


class WorkLibrary(Protocol):
    """What a worker asks of the library; see `Library` for each."""

    @property
    def folder(self) -> DataFolder: ...
    def claim(
        self, worker: str, *, task_id: str | None = None, is_cancelled: bool = False, held_back: Collection[str] = ()
    ) -> TuningTask | None: ...
    def examples(self, model: TunedModel) -> tuple[tuple[TuningExample, ...], tuple[TuningExample, ...]]: ...
    def source_adapter(self, model: TunedModel) -> Path | None: ...
    def heartbeat(self, task: TuningTask, phase: Phase, progress: Progress = ...) -> bool: ...
    def request_cancel(self, name: str) -> TunedModel: ...
    def checkpoint_folder(self, task: TuningTask) -> Path: ...
    def publish(
        self, task: TuningTask, write: Callable[[Path], None], *, needed_bytes: int | None = None
    ) -> Published: ...
    def finish(
        self,
        task: TuningTask,
        phase: Phase,
        progress: Progress = ...,
        *,
        published: Published | None = None,
        error: TuneryError | None = None,
    ) -> TunedModel: ...
    def release(self, task: TuningTask) -> None: ...


class TaskWorker:
    """
    Works on the task of one tuned model, in this process.

    `library` is the library itself, or what stands for it in a child process (`children/tuning.py`).
    """

    def __init__(self, library: WorkLibrary, model: TunedModel, task: TuningTask | None = None) -> None:
        """Take over a claimed task, or claim that of the model; raises FailedPrecondition if it is not waiting."""
        if task is None:
            task = library.claim(worker_name(), task_id=model.task.id, is_cancelled=model.task.cancel_requested)
        if task is None:
            raise FailedPrecondition(f"The tuning job of {model.id} is not waiting to be worked on.")
        self._library, self._model, self._task = library, model, task
        self._tuner: Tuner | None = None
        self._phase = Phase.PREPARING
        self._is_cancelled = task.cancel_requested
        self._beat_time = self._curve_time = float("-inf")  # the first step is shown at once
        self.resume_step: int | None = None  # where the task would go on, once it was put back into the queue

    def cancel(self) -> None:
        """Ask to end the task after the step that was reported last, and to keep what was tuned."""
        self._library.request_cancel(self._model.id)
        self._is_cancelled = True

    def events(self) -> Generator[Event]:
        """
        Work, and yield what happens.

        Raises TuningUnstable, OutOfMemory and other TuneryErrors after the task FAILED with them; ResourceExhausted and
        Unavailable for a disk that is full or fails, and Fenced, without ending the task.
        """
        try:
            with _disk_errors(self._library.folder.path):
                yield from self._work()
        except Fenced:
            raise
        except GeneratorExit:  # left between two steps, so the state is whole
            try:
                with _disk_errors(self._library.folder.path):
                    self._write_checkpoint()
            finally:
                self._put_back()
            raise
        except Exception as error:
            if _passes(error):
                self._put_back()
            else:
                self._fail(error)
            raise
        except BaseException:  # stopped by force in the middle of a step: the checkpoint before counts
            self._put_back()
            raise

    def _work(self) -> Iterator[Event]:
        from tunery.engine.resident import resident_base
        from tunery.engine.tuner import settings_in_force, versions

        yield PhaseEntered(Phase.PREPARING)
        # a checkpoint goes on in the number format it was made in, whatever the probe says today
        dtype = self._task.settings.get("dtype")
        resident = resident_base(self._model.base_model, self._library.folder.path, dtype and str(dtype))
        try:
            tuner, notices = self._prepared(resident)
            self._tuner = tuner
            yield from notices
            settings = settings_in_force(tuner)
            self._beat(Phase.RUNNING, self._progress(settings=settings, versions=versions()))
            yield Started(settings, tuner.completed_steps + 1, tuner.schedule.total_steps)
            if not self._is_cancelled:
                yield from self._steps(tuner)
            yield from self._end(tuner)
        finally:
            resident.remove(0)

    def _prepared(self, resident: ResidentBase) -> tuple[Tuner, Sequence[Noticed]]:
        """Return the tuner, at its checkpoint if there is one, and what the user should know about it."""
        if resident.digest != self._model.base_digest:
            raise FailedPrecondition(f"The base {resident.name} is not the one that this tuning job was asked for.")
        notices = []
        try:
            tuner = self._new_tuner(resident)
        except FailedPrecondition:  # of another number format, recipe or version; going on would mix them
            shutil.rmtree(self._library.checkpoint_folder(self._task))
            tuner = self._new_tuner(resident)
            notices.append(Noticed("The checkpoint was made with other settings; tuning begins again at step 1."))
        cut = sum(row.was_cut for row in (*tuner.examples, *tuner.held_out))
        if cut:
            rows = f"{cut} rows are" if cut > 1 else "1 row is"
            limit = f"{resident.encoder.window_tokens:,} tokens"
            notices.append(Noticed(f"{rows} longer than the {limit} of this base; the end of the input is cut off."))
        return tuner, notices

    def _new_tuner(self, resident: ResidentBase) -> Tuner:
        examples, held_out = self._library.examples(self._model)
        folder = self._library.checkpoint_folder(self._task)
        task = self._task
        tuner = resident.tuner(
            examples,
            task.hyperparameters,
            folder=folder,
            held_out=held_out,
            seed=task.seed,
            source=self._library.source_adapter(self._model),
        )
        if task.micro_batch_size is not None:  # smaller since the kernel took a worker of this task
            tuner.micro_batch_size = min(tuner.micro_batch_size, task.micro_batch_size)
        return tuner

    def _steps(self, tuner: Tuner) -> Iterator[Event]:
        told = 0
        for snapshot in tuner.run():
            self._beat_if_due()
            for text in tuner.notices[told:]:
                yield Noticed(text)
            told = len(tuner.notices)
            yield StepDone(snapshot)
            if self._is_cancelled:
                return

    def _end(self, tuner: Tuner) -> Iterator[Event]:
        if not self._is_cancelled:
            self._beat(Phase.PUBLISHING, self._progress())
        if self._is_cancelled:
            published = self._publish(tuner) if tuner.completed_steps else None
            yield Ended(self._finish(Phase.CANCELLED, tuner, published))
        else:  # past the commit point: asking to cancel has no effect any more
            yield PhaseEntered(Phase.PUBLISHING)
            yield Ended(self._finish(Phase.SUCCEEDED, tuner, self._publish(tuner)))

    def _beat_if_due(self) -> None:
        now = time.monotonic()
        if now - self._beat_time < BEAT_SECONDS:
            return
        assert self._tuner is not None
        is_short = self._tuner.completed_steps <= SHORT_CURVE
        has_curve = is_short or now - self._curve_time >= CURVE_SECONDS
        progress = self._progress()
        self._beat(Phase.RUNNING, progress if has_curve else replace(progress, snapshots=None, epoch_losses=None))
        self._beat_time = now
        self._curve_time = now if has_curve else self._curve_time

    def _beat(self, phase: Phase, progress: Progress) -> None:
        self._is_cancelled |= self._library.heartbeat(self._task, phase, progress)
        self._phase = phase

    def _progress(self, **more: object) -> Progress:
        """Return how far the task is, with its whole curve."""
        tuner = self._tuner
        if tuner is None:
            return Progress()
        return Progress(
            step=tuner.completed_steps,
            checkpoint_step=tuner.checkpoint_step,
            micro_batch_size=tuner.micro_batch_size,
            snapshots=tuner.snapshots,
            epoch_losses=tuner.epoch_losses,
            **more,  # type: ignore[arg-type]
        )

    def _finish(self, phase: Phase, tuner: Tuner, published: Published | None) -> TunedModel:
        from tunery.curve import advise
        from tunery.engine.tuner import settings_in_force

        progress = self._progress(advice=advise(tuner.epoch_losses), settings=settings_in_force(tuner))
        return self._library.finish(self._task, phase, progress, published=published)

    def _publish(self, tuner: Tuner) -> Published:
        epochs = [tuner.epoch_folder(loss.epoch) for loss in tuner.epoch_losses]
        kept = [folder for folder in epochs if folder.is_dir()]
        needed = tuner.adapter.flat.nbytes * (len(kept) + 1)
        return self._library.publish(self._task, lambda folder: _write(folder, tuner, kept), needed_bytes=needed)

    def _write_checkpoint(self) -> None:
        if self._tuner is not None and self._tuner.completed_steps > self._tuner.checkpoint_step:
            self._tuner.write_checkpoint()

    def _put_back(self) -> None:
        """Release the task. If the database cannot be written either, the next owner of the folder takes it back."""
        self.resume_step = self._tuner.checkpoint_step + 1 if self._tuner else self._task.checkpoint_step + 1
        with suppress(ResourceExhausted, Unavailable, Fenced):
            self._library.heartbeat(self._task, self._phase, self._progress())
            self._library.release(self._task)

    def _fail(self, error: Exception) -> None:
        known = error if isinstance(error, TuneryError) else TuneryError(f"Something went wrong: {error!r}.")
        self._library.finish(self._task, Phase.FAILED, self._progress(), error=known)


def worker_name() -> str:
    """Return the name by which people recognise this process."""
    return f"{platform.node()} ({os.getpid()})"


def _write(folder: Path, tuner: Tuner, kept: Sequence[Path]) -> None:
    """Write the adapter to serve, the kept epochs below `epochs/`, and the curve."""
    from tunery.curve import write_curve
    from tunery.engine.adapter import CONFIG, WEIGHTS, write_adapter

    write_adapter(folder, tuner.chosen_adapter(), base_model=tuner.base_name)
    for epoch in kept:
        target = folder / "epochs" / epoch.name
        target.mkdir(parents=True)
        for name in (CONFIG, WEIGHTS):  # a killed worker may have left other files beside them
            shutil.copyfile(epoch / name, target / name)
    write_curve(folder, tuner.snapshots, tuner.epoch_losses)


def _passes(error: Exception) -> bool:
    """Say whether the cause lies outside the task, so that trying it again later makes sense."""
    return isinstance(error, ResourceExhausted | Unavailable) and not isinstance(error, OutOfMemory)


@contextmanager
def _disk_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ResourceExhausted(f"The disk is full: {place} could not grow. Free some space.") from error
        raise Unavailable(f"{place} could not be read or written ({error.strerror}). Check the disk.") from error
