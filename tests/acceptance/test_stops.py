"""Tuning jobs that are interrupted: by Ctrl-C, by the system, by a kill at any moment."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.conftest import Command, adapter_bytes
from tunery.engine.tuner import FILE
from tunery.service.library import Library
from tunery.types import Phase, State

CASES = Path(__file__).parents[1] / "fixtures/cases"

KILLS = 7

Start = Callable[..., Command]


def _tune(data: Path, epochs: int) -> list[str | Path]:
    return ["tune", data, "--base-model", "tiny", "--id", "numbers", "--epochs", str(epochs), "--hold-out", "20%"]


def test_ctrl_c_keeps_what_was_tuned(start: Start, home: Path, data: Path) -> None:
    """Ctrl-C once: a message at once, the step is finished, the partial model is usable, exit status 130."""
    command = start(home, *_tune(data, 2_000))
    command.wait_until(lambda: "step" in command.said and "  loss" in command.said)
    command.kill(signal.SIGINT)

    assert command.wait() == 130
    assert "Stopping after this step, and keeping the model as it is then. Press Ctrl-C again" in command.said
    assert command.result == "tunedModels/numbers\n"
    with Library.open(home) as library:
        model = library.get("numbers")
        assert (model.state, model.task.phase) == (State.ACTIVE, Phase.CANCELLED)
        assert 0 < model.task.completed_steps < model.task.total_steps
        assert len(model.task.snapshots) == model.task.completed_steps
    assert adapter_bytes(home, "numbers")


def test_ctrl_c_before_the_first_step_leaves_nothing(start: Start, home: Path, data: Path) -> None:
    """Ctrl-C while the base is loaded: exit status 130, and the id is free again; CANCELLED if a step was done."""
    command = start(home, *_tune(data, 2_000))
    command.wait_until(lambda: bool(_phases(home)))
    command.kill(signal.SIGINT)

    assert command.wait() == 130
    with Library.open(home) as library:
        assert all(model.task.phase is Phase.CANCELLED and model.task.completed_steps for model in library.list())


def test_ctrl_c_twice_leaves_the_job_for_later(start: Start, home: Path, data: Path) -> None:
    """A second Ctrl-C leaves the job in the queue with a checkpoint; the process ends with 130."""
    command = start(home, *_tune(data, 2_000))
    command.wait_until(lambda: "  loss" in command.said)
    command.kill(signal.SIGSTOP)  # so that both presses come within one step
    command.kill(signal.SIGINT)
    command.kill(signal.SIGCONT)
    command.wait_until(lambda: "Press Ctrl-C again" in command.said)
    command.kill(signal.SIGINT)

    assert command.wait() == 130
    assert _phases(home)[0] in (Phase.QUEUED, Phase.CANCELLED)


def test_sigterm_leaves_a_checkpoint_and_the_same_command_goes_on(
    start: Start, new_home: Callable[[str], Path], data: Path
) -> None:
    """SIGTERM ends within 10 s with 143; the same command resumes and gives the bytes of an undisturbed job."""
    undisturbed, home = new_home("undisturbed"), new_home("disturbed")
    assert start(undisturbed, *_tune(data, 8)).wait() == 0
    command = start(home, *_tune(data, 8))
    command.wait_until(lambda: "  loss" in command.said)
    begin = time.monotonic()
    command.kill(signal.SIGTERM)

    assert command.wait() == 143
    assert time.monotonic() - begin < 10
    assert _phases(home) == [Phase.QUEUED]
    assert "The same command resumes numbers at step" in command.said
    again = start(home, *_tune(data, 8), "--resume")
    assert again.wait() == 0, again.said
    assert "Resuming from the checkpoint at step" in again.said
    assert adapter_bytes(home, "numbers") == adapter_bytes(undisturbed, "numbers")
    assert not any((home / "checkpoints").iterdir())


def test_another_label_is_another_job(start: Start, new_home: Callable[[str], Path], tmp_path: Path) -> None:
    """After a kill the same command on a changed file starts a new job, and says so."""
    home, data = new_home("changed"), tmp_path / "t.csv"
    shutil.copy(CASES / "39-resume" / "v1.csv", data)
    killed = start(home, "tune", data, "--no-verdict", "--base-model", "tiny", "--id", "t1", "--epochs", "500", "--yes")
    killed.wait_until(lambda: "  loss" in killed.said)
    killed.kill()
    killed.wait()
    shutil.copy(CASES / "39-resume" / "v2.csv", data)

    again = start(home, "tune", data, "--no-verdict", "--base-model", "tiny", "--id", "t2", "--epochs", "2", "--yes")

    assert again.wait() == 0, again.said
    assert "t1, unfinished, was tuned on other rows of t.csv or with other settings; a new job starts." in again.said
    assert "Resuming" not in again.said


def test_a_kill_at_any_moment_costs_nothing(start: Start, new_home: Callable[[str], Path], data: Path) -> None:
    """Killed at seven moments and started again, a job gives the same bytes; nothing incomplete is listed."""
    undisturbed = new_home("undisturbed")
    begin = time.monotonic()
    assert start(undisturbed, *_tune(data, 8)).wait() == 0
    seconds = time.monotonic() - begin
    wanted = adapter_bytes(undisturbed, "numbers")

    for number in range(1, KILLS + 1):
        home = new_home(f"killed-{number}")
        command = start(home, *_tune(data, 8))
        time.sleep(seconds * number / KILLS)
        command.kill()
        command.wait()
        with Library.open(home) as library:
            half_made = [model for model in library.list() if model.state is State.ACTIVE]
            assert all(library.adapter_folder(model) for model in half_made)
        if not half_made:
            again = start(home, *_tune(data, 8))
            assert again.wait() == 0, again.said
        assert adapter_bytes(home, "numbers") == wanted
        assert len(list(home.glob("models/*/*"))) == 1


def test_a_killed_job_goes_on_from_its_checkpoint(start: Start, new_home: Callable[[str], Path], data: Path) -> None:
    """Killed when it has written a checkpoint, it gives the bytes of an undisturbed job."""
    undisturbed, home = new_home("undisturbed"), new_home("killed")
    assert start(undisturbed, *_tune(data, 100)).wait() == 0
    command = start(home, *_tune(data, 100))
    command.wait_until(lambda: any(home.glob(f"checkpoints/*/{FILE}")))
    command.kill()
    command.wait()

    again = start(home, *_tune(data, 100))

    assert again.wait() == 0, again.said
    assert "from the checkpoint" in again.said
    assert adapter_bytes(home, "numbers") == adapter_bytes(undisturbed, "numbers")


def _phases(home: Path) -> list[Phase]:
    with Library.open(home) as library:
        return [model.task.phase for model in library.list()]
