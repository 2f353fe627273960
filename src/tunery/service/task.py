"""
The work on one task: claim, load the base, tune, publish, finish.

This is a generator of events whose consumer owns the loop. After `cancel()`, the task ends and keeps what was tuned;
closing the generator writes a checkpoint and puts the task back into the queue. Files are written here; rows are
written by `answer`, which runs in the parent if this is a child process. torch is not loaded before the second event.

    worker = TaskWorker.claim(library, library.create(request))
    with closing(worker.events()) as events:
        for event in events: ...
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from tunery.errors import (
    CheckpointDamaged,
    FailedPrecondition,
    InvalidArgument,
    OtherCheckpoint,
    OutOfMemory,
    ResourceExhausted,
    Unavailable,
    as_tunery_error,
)
from tunery.files import disk_errors
from tunery.service.folder import DataFolder
from tunery.service.library import Fenced, Library
from tunery.service.process import Meter
from tunery.service.tuning import (
    Beat,
    Call,
    Cancel,
    Ended,
    Event,
    Finish,
    Noticed,
    PhaseEntered,
    Progress,
    Published,
    PutBack,
    ReadInputs,
    Sampled,
    Started,
    StepDone,
)
from tunery.types import Phase, TunedModel, TuningTask, WeightFormat

if TYPE_CHECKING:
    from tunery.engine.resident import ResidentBase
    from tunery.engine.tuner import Tuner

_log = logging.getLogger("tunery.task")

BEAT_SECONDS = 1.0
CURVE_SECONDS = 5.0  # between two writes of a long curve, which is written in full each time
SHORT_CURVE = 500  # steps; a curve up to this length, 12 kB, is written with each heartbeat
SAMPLED_ROWS = 3
SAMPLED_TOKENS = 48  # of an answer; longer ones are cut off
SAMPLED_SHARE = 0.1  # the largest share of the time that goes into answers while tuning
SAMPLED_SECONDS = 1.0  # allowed in any case, since a short job has little time to share


class TaskWorker:
    """
    Works on the claimed task of a tuned model, in this process.

    `call` makes the owner of the library carry out a `Call` and returns the answer; it may raise Fenced.
    """

    def __init__(self, model: TunedModel, task: TuningTask, folder: DataFolder, call: Callable[[Call], Any]) -> None:
        self._model, self._task, self._folder, self._call = model, task, folder, call
        self._tuner: Tuner | None = None
        self._phase = Phase.PREPARING
        self._is_cancelled = task.cancel_requested
        self._beat_time = self._curve_time = float("-inf")  # the first step is reported immediately
        self._run_time = 0.0  # when the steps began
        self._sample_time = float("-inf")  # time of the next sample of answers
        self._meter = Meter()
        self._has_ended = False
        self.resume_step: int | None = None  # the step to resume at, once the task has been put back into the queue

    @classmethod
    def claim(cls, library: Library, model: TunedModel) -> Self:
        """
        Claim the task of a model in a library of this process; raises FailedPrecondition if the task is not waiting.
        """
        task = library.claim(worker_name(), task_id=model.task.id, is_cancelled=model.task.cancel_requested)
        if task is None:
            raise FailedPrecondition(f"The tuning job for {model.id} is not waiting in the queue.")
        return cls(model, task, library.folder, partial(answer, library, model, task))

    def cancel(self) -> None:
        """End the task after the step that was reported last, and keep what was tuned."""
        self._call(Cancel())
        self._is_cancelled = True

    def events(self) -> Generator[Event]:
        """
        Work on the task, and yield events.

        Raises TuningUnstable, OutOfMemory and other TuneryErrors after the task FAILED with them. ResourceExhausted and
        Unavailable, if the disk is full or fails, and Fenced do not end the task.
        """
        try:
            with disk_errors(self._folder.path):
                yield from self._work()
        except Fenced:
            raise
        except GeneratorExit:  # closed between two steps, so the state is consistent
            if self._has_ended:  # and its checkpoint is removed
                raise
            try:
                with disk_errors(self._folder.path):
                    self._write_checkpoint()
            finally:
                self._put_back()
            raise
        except Exception as error:
            if _is_temporary(error):
                self._put_back()
            else:
                self._fail(error)
            raise
        except BaseException:  # interrupted in the middle of a step, so only the earlier checkpoint is consistent
            self._put_back()
            raise

    def _work(self) -> Iterator[Event]:
        from tunery.engine.resident import kept_as, resident_base
        from tunery.engine.tuner import settings_in_force, versions

        yield PhaseEntered(Phase.PREPARING)
        resident = resident_base(self._model.base_model, self._folder.path, *kept_as(*self._formats()))
        try:
            tuner, notices = self._prepared(resident)
            self._tuner = tuner
            yield from notices
            settings = settings_in_force(tuner)
            self._beat(Phase.RUNNING, self._progress(settings=settings, versions=versions()))
            yield Started(settings, tuner.completed_steps + 1, tuner.schedule.total_steps)
            try:
                if not self._is_cancelled:
                    yield from self._steps(tuner, resident)
            except InvalidArgument:
                resident.require_whole()  # damaged weights are a better explanation than the learning rate
                raise
            resident.require_whole()
            try:
                yield from self._end(tuner, resident)
            except CheckpointDamaged as error:
                self._begin_again(tuner, error)
        finally:
            resident.remove(0)

    def _formats(self) -> tuple[WeightFormat, str | None]:
        """Return the formats of weights and numbers; a task that has begun resumes in its own, whatever fits now."""
        settings = self._task.settings
        if "dtype" not in settings:
            return WeightFormat(self._task.hyperparameters.weights), None
        return WeightFormat(str(settings.get("weights", WeightFormat.FULL))), str(settings["dtype"])

    def _prepared(self, resident: ResidentBase) -> tuple[Tuner, Sequence[Noticed]]:
        """Return the tuner, at its checkpoint if there is one, and notices for the user."""
        if resident.digest != self._model.base_digest:
            raise FailedPrecondition(
                f"The weights of the base {resident.name} changed after this tuning job was created. Create a new one."
            )
        notices = [Noticed(resident.notice)] if resident.notice else []
        self._inputs = inputs = self._call(ReadInputs())
        try:
            tuner = self._new_tuner(resident, inputs)
            if not tuner.completed_steps and self._task.checkpoint_step:
                notices.append(Noticed("The checkpoint is gone; tuning starts over at step 1."))
        except (OtherCheckpoint, CheckpointDamaged) as error:
            # number formats, recipes and engines must not be mixed, and tuning must not resume from anything damaged
            reason = str(error) if isinstance(error, CheckpointDamaged) else error.said
            notices.append(Noticed(f"{reason.removesuffix('.')}; tuning starts over at step 1."))
            shutil.rmtree(self._folder.checkpoint(self._task.id))
            tuner = self._new_tuner(resident, inputs)
        cut = sum(row.was_cut for row in (*tuner.examples, *tuner.held_out))
        if cut:
            rows = f"{cut} rows are" if cut > 1 else "1 row is"
            limit = f"{resident.encoder.window_tokens:,} tokens"
            notices.append(Noticed(f"{rows} longer than the {limit} of this base; the end of the input is cut off."))
        return tuner, notices

    def _new_tuner(self, resident: ResidentBase, inputs: Any) -> Tuner:
        task, (examples, held_out, source) = self._task, inputs
        checkpoint = self._folder.checkpoint(task.id)
        checkpoint.mkdir(mode=0o700, parents=True, exist_ok=True)
        tuner = resident.tuner(
            examples,
            task.hyperparameters,
            folder=checkpoint,
            held_out=held_out,
            seed=task.seed,
            source=source,
            rendering=self._model.rendering,
        )
        if task.micro_batch_size is not None:  # reduced after the kernel killed a worker of this task
            tuner.micro_batch_size = min(tuner.micro_batch_size, task.micro_batch_size)
        return tuner

    def _steps(self, tuner: Tuner, resident: ResidentBase) -> Iterator[Event]:
        shown = 0
        epochs = len(tuner.epoch_losses)
        self._run_time = time.monotonic()
        for snapshot in tuner.run():
            self._beat_if_due()
            if len(tuner.epoch_losses) > epochs:
                epochs = len(tuner.epoch_losses)
                self._sample(tuner, resident)
            resident.require_whole(waits=False)
            for text in tuner.notices[shown:]:
                yield Noticed(text)
            shown = len(tuner.notices)
            yield StepDone(snapshot)
            if self._is_cancelled:
                return

    def _sample(self, tuner: Tuner, resident: ResidentBase) -> None:
        """Answer a few rows with the epoch that has just ended, unless that would take too much of the time."""
        begin = time.monotonic()
        rows = (self._inputs[1] or self._inputs[0])[:SAMPLED_ROWS]
        if begin < self._sample_time or self._is_cancelled:
            return
        seconds = max(SAMPLED_SECONDS, SAMPLED_SHARE * (begin - self._run_time))
        try:
            texts = [row.text_input for row in rows]
            answers = resident.sample(tuner.adapter, texts, SAMPLED_TOKENS, self._model.rendering, seconds=seconds)
        except Exception as error:  # noqa: BLE001  # a row that is too long, or too little memory, must never end a job
            self._sample_time = float("inf")
            _log.info("No answers are shown while %s is tuned: %s", self._model.name, error)
            return
        now = time.monotonic()
        self._sample_time = now + (now - begin) / SAMPLED_SHARE
        self._call(Sampled(tuner.epoch_losses[-1].epoch, rows, answers))

    def _end(self, tuner: Tuner, resident: ResidentBase) -> Iterator[Event]:
        if not self._is_cancelled:
            self._beat(Phase.PUBLISHING, self._progress())
        if self._is_cancelled:
            published = self._publish(tuner) if tuner.completed_steps else None
            yield Ended(self._finish(Phase.CANCELLED, tuner, published))
        else:  # after the commit point, cancelling has no effect
            tuner.require_health(partial(resident.asked, self._inputs[0], rendering=self._model.rendering))
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
        self._is_cancelled |= self._call(Beat(phase, progress, self._meter.usage()))
        self._phase = phase

    def _progress(self, **more: object) -> Progress:
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

        advice = advise(tuner.epoch_losses, healthy_epoch=tuner.healthy_epoch, constant_answer=tuner.constant_answer)
        taken = {
            "epoch_tokens": sum(len(row.token_ids) for row in tuner.examples),
            "processor_seconds": round(self._meter.processor_seconds, 1),
            "peak_memory_bytes": self._meter.usage().peak_memory_bytes,
        }
        progress = self._progress(advice=advice, settings=settings_in_force(tuner) | taken)
        model: TunedModel = self._call(Finish(phase, progress, published))
        self._has_ended = True
        return model

    def _publish(self, tuner: Tuner) -> Published:
        tuner.keep_last_epoch()
        needed = tuner.adapter.flat.nbytes * (len(tuner.kept_epochs) + 1)
        return self._folder.publish(self._task, lambda folder: _write(folder, tuner), needed_bytes=needed)

    def _begin_again(self, tuner: Tuner, error: CheckpointDamaged) -> NoReturn:
        """Drop what was tuned, because part of it was damaged on disk, and have the task put back."""
        shutil.rmtree(tuner.folder)
        tuner.checkpoint_step = 0
        raise Unavailable(f"{str(error).removesuffix('.')}; the tuning job starts over.") from error

    def _write_checkpoint(self) -> None:
        if self._tuner is not None and self._tuner.completed_steps > self._tuner.checkpoint_step:
            self._tuner.write_checkpoint()

    def _put_back(self) -> None:
        """Put the task back. If the database cannot be written either, the next owner of the folder does it."""
        self.resume_step = self._tuner.checkpoint_step + 1 if self._tuner else self._task.checkpoint_step + 1
        for call in (
            Beat(self._phase, self._progress()),
            PutBack(),
        ):  # separately, because the disk may be full for a moment
            with suppress(ResourceExhausted, Unavailable, Fenced):
                self._call(call)

    def _fail(self, error: Exception) -> None:
        self._call(Finish(Phase.FAILED, self._progress(), error=as_tunery_error(error)))


def answer(library: Library, model: TunedModel, task: TuningTask, call: Call) -> Any:
    """Carry out a call of the worker of a claimed task in the library; raises Fenced if the claim was lost."""
    match call:
        case ReadInputs():
            return library.inputs(model, task)
        case Beat(phase, progress):  # what it takes is kept in memory only, by `Worker.usage_of`
            return library.heartbeat(task, phase, progress)
        case Sampled(epoch, rows, answers):
            return library.add_epoch_answers(model, epoch, rows, answers)
        case Cancel():
            return library.request_cancel(model.id)
        case Finish(phase, progress, published, error):
            return library.finish(task, phase, progress, published=published, error=error)
        case PutBack():
            return library.release(task)


def worker_name() -> str:
    """Return a name by which people can recognise this process."""
    return f"{platform.node()} ({os.getpid()})"


def _write(folder: Path, tuner: Tuner) -> None:
    """Write the adapter to serve, the kept epochs below `epochs/`, and the curve; raises CheckpointDamaged."""
    from tunery.curve import write_curve
    from tunery.engine.adapter import CONFIG, WEIGHTS, write_adapter
    from tunery.engine.tuner import require_epoch

    write_adapter(folder, tuner.chosen_adapter(), base_model=tuner.base_name)
    for epoch, digest in tuner.kept_epochs.items():
        kept, target = tuner.epoch_folder(epoch), folder / "epochs" / str(epoch)
        require_epoch(kept, digest)
        target.mkdir(parents=True)
        for name in (CONFIG, WEIGHTS):  # a killed worker may have left other files in the folder
            shutil.copyfile(kept / name, target / name)
        require_epoch(target, digest)
    write_curve(folder, tuner.snapshots, tuner.epoch_losses)


def _is_temporary(error: Exception) -> bool:
    """Return whether the cause lies outside the task, so that a later try may succeed."""
    return isinstance(error, ResourceExhausted | Unavailable) and not isinstance(error, OutOfMemory)
