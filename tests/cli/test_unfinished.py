"""Tuning jobs that did not reach their end: what the commands say about them, and how to go on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.service.samples import a_curve, claimed, write_adapter
from tunery.service.library import Library
from tunery.service.tuning import Progress
from tunery.types import Phase, TuningTask


def _begun(library: Library) -> TuningTask:
    task = claimed(library, id="mine")
    library.heartbeat(task, Phase.RUNNING, Progress(step=9, snapshots=a_curve(9)))
    return task


@pytest.fixture
def interrupted(home: Path) -> None:
    """Leave a job as a killed process does: its row says RUNNING, and nobody owns the folder."""
    with Library.own(home) as library:
        _begun(library)


@pytest.mark.usefixtures("interrupted")
def test_a_job_without_a_process_is_not_said_to_run(run: Run) -> None:
    """The list and the model's page say that it was interrupted; the page, how to go on; JSON has it as a field."""
    page = " ".join(run("models", "show", "mine").output.split())
    (listed,) = json.loads(run("models", "list", "--json").output)

    assert "CREATING, interrupted after 9 of 19 steps " in run("models", "list").output
    assert "State CREATING, interrupted after 9 of 19 steps Reason The process that tuned it is gone. To resume" in page
    assert "run the same command again; `tunery serve` resumes it, too. `tunery models delete mine` drops it." in page
    assert listed["tuning_task"]["is_interrupted"] is True


@pytest.mark.usefixtures("interrupted")
def test_nobody_has_to_wait_for_a_job_without_a_process(run: Run) -> None:
    """Asking it for an answer says that waiting does not help."""
    done = run("generate", "mine", "hello")

    assert done.status == 19
    assert "was interrupted after 9 of 19 steps, and no process works on it. To resume it, run the same" in done.said


def test_a_job_with_a_process_runs(run: Run, home: Path) -> None:
    """While a process owns the folder, its jobs are what their rows say."""
    with Library.own(home) as library:
        _begun(library)
        listed = run("models", "list").output

    assert "CREATING, running at step 9 of 19 " in listed


def test_a_cancelled_model_says_how_far_it_came(run: Run, home: Path) -> None:
    """In the list and on its page, with how to get a whole one."""
    with Library.own(home) as library:
        task = _begun(library)
        library.request_cancel("mine")
        library.finish(task, Phase.CANCELLED, published=library.folder.publish(task, write_adapter))

    page = " ".join(run("models", "show", "mine").output.split())

    assert "ACTIVE, cancelled after 9 of 19 steps " in run("models", "list").output
    assert "Reason Tuning was cancelled at step 9 of 19; what was tuned until then answers, perhaps worse" in page
    assert "A cancelled job does not resume. To tune all 19 steps, run the same command with another --id" in page


@pytest.mark.usefixtures("interrupted")
def test_a_folder_that_can_only_be_read_is_taken_at_its_word(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock cannot be tried, so the list shows what the rows say instead of an error."""
    opened = os.open

    def refusing(path: str | Path, flags: int, *mode: int) -> int:
        if Path(path) == home / "lock":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refusing)

    listed = run("models", "list")

    assert (listed.status, listed.output.count("CREATING, running at step 9 of 19")) == (0, 1)
