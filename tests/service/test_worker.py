"""The worker loop with a real child and a fake trainer: the child dies, freezes or fails; the task continues."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos import trainer
from tests.chaos.served import wait_until
from tests.service.samples import a_request
from tunery.errors import NotFound, Unavailable
from tunery.service import worker as module
from tunery.service.library import Library
from tunery.service.process import Channel
from tunery.service.task import SHORT_CURVE
from tunery.service.tuning import Beat, Progress
from tunery.service.worker import Worker
from tunery.types import Hyperparameters, Phase, State, TunedModel, TuningSnapshot, TuningTask

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither kill -9 nor SIGSTOP")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.05,) * 4)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.05)


@contextmanager
def working(library: Library, lease_seconds: float = 10.0, **options: Any) -> Iterator[Worker]:
    worker = Worker(library, lease_seconds=lease_seconds, main=trainer.main, **options)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def created(library: Library, epochs: int = 5, **changes: Any) -> TunedModel:
    """Return a new tuned model; an epoch is 4 steps of 20 ms."""
    return library.create(a_request(hyperparameters=Hyperparameters(epoch_count=epochs).resolve(), **changes))


def is_in(library: Library, model: TunedModel, *phases: Phase) -> Callable[[], bool]:
    return lambda: library.find(model.id).task.phase in phases


def steps(library: Library, model: TunedModel) -> int:
    return library.find(model.id).task.completed_steps


def test_a_child_that_dies_or_freezes_is_replaced(library: Library) -> None:
    """Killed, then frozen past its lease: each time a new child continues, and both losses are counted."""
    model = created(library, epochs=30)
    with working(library, lease_seconds=1.5) as worker:
        for number in (signal.SIGKILL, signal.SIGSTOP):
            before = steps(library, model)
            wait_until(lambda: steps(library, model) > before + 3)  # noqa: B023
            pid = worker.child_pid
            assert pid is not None
            os.kill(pid, number)
            wait_until(lambda: worker.child_pid not in (None, pid))  # noqa: B023

        wait_until(is_in(library, model, Phase.SUCCEEDED))

    assert [line.split(" ", 1)[1] for line in library.log(model) if "worker process" in line] == [
        "The worker process died; the tuning job resumes from its checkpoint",
        "The worker process froze; the tuning job resumes from its checkpoint",
    ]


def test_a_child_that_dies_before_it_begins_costs_the_task_nothing(library: Library) -> None:
    """Four children in turn that cannot even start: the task waits, and is done by the first one that can."""
    model = created(library, epochs=1)
    deaths = library.folder.path / "deaths"
    worker = Worker(library, main=functools.partial(_dying, deaths))
    worker.start()
    try:
        wait_until(is_in(library, model, Phase.SUCCEEDED, Phase.FAILED))
    finally:
        worker.stop()

    assert library.find(model.id).task.phase is Phase.SUCCEEDED
    assert len(deaths.read_text()) == 4


def _dying(deaths: Path, channel: Channel, data_folder: Path) -> None:
    """Die with the first message four times, as a process that cannot open its files."""
    if not deaths.exists() or len(deaths.read_text()) < 4:
        channel.messages.get()
        with deaths.open("a") as file:
            file.write("x")
        os._exit(1)
    trainer.main(channel, data_folder)


def test_the_next_child_starts_while_the_lost_task_waits(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (60.0,) * 4)
    monkeypatch.setattr(module, "RESTART_SECONDS", 60.0)
    model = created(library, epochs=30)
    with working(library) as worker:
        wait_until(lambda: steps(library, model) > 1)
        pid = worker.child_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: worker.child_pid not in (None, pid))

        assert is_in(library, model, Phase.QUEUED)()


def test_an_error_of_the_loop_does_not_leave_the_child_waiting(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a call raises an unexpected error in the server, the task is put back and a new child finishes it."""
    heartbeat, calls = Library.heartbeat, iter(range(1_000_000))

    def breaking(self: Library, *arguments: Any, **options: Any) -> bool:
        if next(calls) == 3:
            raise RuntimeError("a mistake of ours")
        return heartbeat(self, *arguments, **options)

    monkeypatch.setattr(Library, "heartbeat", breaking)
    model = created(library)
    with working(library):
        wait_until(is_in(library, model, Phase.SUCCEEDED))


@pytest.mark.parametrize("library", ["postgres"], indirect=True)
@pytest.mark.parametrize("call", ["heartbeat", "finish"])
def test_a_shared_database_that_restarts_ends_no_job(
    library: Library, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A report that cannot be written for a moment is written a little later, by the same claim."""
    monkeypatch.setattr(module, "TRY_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.0)  # every report is written
    write, calls = getattr(Library, call), iter(range(1_000_000))

    def failing(self: Library, *arguments: Any, **options: Any) -> Any:
        if next(calls) in (0, 1, 4):
            raise Unavailable("The database is being restarted.")
        return write(self, *arguments, **options)

    monkeypatch.setattr(Library, call, failing)
    model = created(library)
    with working(library):
        wait_until(is_in(library, model, Phase.SUCCEEDED))

    assert library.find(model.id).task.claim_number == 1
    assert next(calls) > 2


@pytest.mark.parametrize("library", ["postgres"], indirect=True)
def test_a_shared_database_gets_few_reports(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two reports a job tells only its worker; phases, checkpoints and the end are written at once."""
    monkeypatch.setattr(module, "RENEW_SECONDS", 1000.0)
    write, written = Library.heartbeat, []

    def noting(self: Library, task: TuningTask, phase: Phase, progress: Progress) -> bool:
        written.append((phase, progress.step))
        return write(self, task, phase, progress)

    monkeypatch.setattr(Library, "heartbeat", noting)
    model = created(library)
    with working(library):
        wait_until(is_in(library, model, Phase.SUCCEEDED))

    checkpoints = [(Phase.RUNNING, step) for step in range(0, 19, trainer.CHECKPOINT_STEPS)]
    assert written[: len(checkpoints) + 1] == [*checkpoints, (Phase.PUBLISHING, 19)]
    assert steps(library, model) == 19


def test_a_long_curve_is_never_left_out() -> None:
    """The child sends one every few seconds only, so the report that has it is not put off in a shared database."""
    snapshot = TuningSnapshot(1, 0, 1.0, datetime.now(UTC))
    worker = SimpleNamespace(
        _library=SimpleNamespace(database=SimpleNamespace(is_shared=True)),
        _report_time=time.monotonic(),
        _reported_checkpoint=0,
    )

    def is_early(snapshots: int) -> bool:
        beat = Beat(Phase.RUNNING, Progress(600, 0, snapshots=[snapshot] * snapshots))
        return Worker._is_early(cast(Worker, worker), beat)

    assert is_early(SHORT_CURVE)
    assert not is_early(SHORT_CURVE + 1)


def test_successes_are_told_and_nothing_else(library: Library) -> None:
    """A cancelled task leaves a usable model, but `on_success` gets only models whose task SUCCEEDED, once."""
    told: list[TunedModel] = []
    cancelled = created(library, epochs=100)
    with working(library, on_success=told.append):
        wait_until(lambda: steps(library, cancelled) > 1)
        library.request_cancel(cancelled.id)
        wait_until(is_in(library, cancelled, Phase.CANCELLED))
        model = created(library)
        wait_until(lambda: bool(told))

    assert library.find(cancelled.id).state is State.ACTIVE
    assert [(one.id, one.task.phase) for one in told] == [(model.id, Phase.SUCCEEDED)]


def test_a_row_that_an_error_left_running_is_taken_back(library: Library) -> None:
    """A task whose row says running while the loop has none goes back into the queue and is finished."""
    model = created(library)
    library.claim("nobody", task_id=model.task.id)

    with working(library):
        wait_until(is_in(library, model, Phase.SUCCEEDED))


def test_a_task_deleted_as_it_is_claimed_is_passed_over(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a tuned model is deleted between claim and work, the next task is worked on at once."""
    gone, model = created(library), created(library)
    find = Library.find

    def finding(self: Library, model_id: str) -> TunedModel:
        if model_id == gone.id:
            self.delete(model_id)
            raise NotFound
        return find(self, model_id)

    with monkeypatch.context() as patch:
        patch.setattr(Library, "find", finding)
        with working(library):
            wait_until(lambda: find(library, model.id).task.phase is Phase.SUCCEEDED)


def test_a_kill_by_the_kernel_halves_the_examples_at_a_time(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL while the kernel's count of memory kills rises means half as many examples at a time, and no loss."""
    kills = iter(range(1_000))
    monkeypatch.setattr(module, "memory_kills", lambda: next(kills))
    model = created(library, epochs=30)
    with working(library) as worker:
        wait_until(lambda: steps(library, model) > 1)
        pid = worker.child_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: library.find(model.id).task.micro_batch_size == 2)
        wait_until(is_in(library, model, Phase.SUCCEEDED))

    assert any("because memory ran out" in line for line in library.log(model))


def test_stopping_puts_the_task_back_with_its_checkpoint(library: Library) -> None:
    """A worker that is stopped leaves its task QUEUED at the last step, and no child."""
    model = created(library, epochs=100)
    with working(library) as worker:
        wait_until(lambda: steps(library, model) > 4)

    task = library.find(model.id).task
    assert task.phase is Phase.QUEUED
    assert task.checkpoint_step == task.completed_steps > 4
    assert worker.child_pid is None or not _is_alive(worker.child_pid)


def test_stopping_does_not_wait_for_a_frozen_child(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen child is killed after the grace period; its task waits at the earlier checkpoint."""
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    model = created(library, epochs=100)
    with working(library) as worker:
        wait_until(lambda: steps(library, model) > 4)
        pid = worker.child_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    task = library.find(model.id).task
    assert (task.phase, task.checkpoint_step > 0) == (Phase.QUEUED, True)


def test_a_full_disk_holds_the_task_back(library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child that finds the disk full puts its task back; the task waits longer each time and finally succeeds."""
    full = tmp_path / "full"
    full.touch()
    monkeypatch.setenv("TUNERY_TEST_DISK_FULL", str(full))
    model = created(library)
    with working(library):
        wait_until(lambda: sum("RESOURCE_EXHAUSTED" in line for line in library.log(model)) > 2)
        full.unlink()
        wait_until(is_in(library, model, Phase.SUCCEEDED))

    assert library.find(model.id).state is State.ACTIVE


def test_a_child_that_dies_idle_is_replaced_ahead_of_the_next_task(library: Library) -> None:
    """A new warm child is ready before the next task."""
    with working(library) as worker:
        wait_until(lambda: worker.child_pid)
        pid = worker.child_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: worker.child_pid not in (None, pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_log_outlives_the_worker(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a line for each epoch with its loss, settings in words, and is still there for the next server."""
    model = created(library, epochs=3)
    with working(library):
        wait_until(is_in(library, model, Phase.SUCCEEDED))

    lines = [line.split(" ", 1)[1] for line in library.log(library.find(model.id))]
    losses = library.find(model.id).task.epoch_losses
    assert [line for line in lines if line.startswith("Epoch")] == [
        f"Epoch {loss.epoch} of 3: mean loss {loss.mean_loss:.4f}" for loss in losses
    ]
    assert not any("{" in line for line in lines)
    monkeypatch.setattr("tunery.service.library.LOG_LINES", 2)
    library.add_to_log(model.id, "one more")
    assert [line.split(" ", 1)[1] for line in library.log(library.find(model.id))] == [lines[-1], "one more"]


def test_a_task_is_worked_on_beside_the_answers(library: Library) -> None:
    """The block of `beside` is entered for a task and left when it has ended."""
    seen: list[str] = []

    @contextmanager
    def beside() -> Iterator[None]:
        seen.append("begins")
        yield
        seen.append("ends")

    with working(library, beside=beside):
        model = created(library)
        wait_until(is_in(library, model, Phase.SUCCEEDED))
        wait_until(lambda: len(seen) == 2)

    assert seen == ["begins", "ends"]
