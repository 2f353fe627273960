"""The tasks of a library: claimed, tuned, finished, cancelled, lost with their process and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.samples import a_curve, a_request, claimed, made_checkpoint, tuned, write_adapter
from tunery.errors import DataLoss, FailedPrecondition, NotFound, TuningUnstable
from tunery.service.library import Fenced, Library
from tunery.service.tuning import Progress
from tunery.types import Advice, EpochLoss, Phase, State, TuningTask


def test_a_task_goes_its_way_to_a_usable_model(library: Library) -> None:
    """Claimed, tuned, published, finished: the model is ACTIVE, with curve, losses, advice and a verified adapter."""
    task = claimed(library, id="numbers")
    progress = Progress(
        step=19,
        snapshots=a_curve(19),
        epoch_losses=[EpochLoss(1, 0.5, 0.6)],
        settings={"rank": 8, "dtype": "bfloat16"},
        versions={"tunery": "0.1"},
    )

    assert not library.heartbeat(task, Phase.RUNNING, progress)
    assert not library.heartbeat(task, Phase.PUBLISHING)
    published = library.folder.publish(task, write_adapter)
    model = library.finish(task, Phase.SUCCEEDED, Progress(advice=Advice("flat", "Stop.", 3)), published=published)

    assert (model.state, model.task.phase, model.task.completed_steps) == (State.ACTIVE, Phase.SUCCEEDED, 19)
    assert model.task.snapshots == a_curve(19)
    assert model.task.epoch_losses == (EpochLoss(1, 0.5, 0.6),)
    assert model.task.advice == Advice("flat", "Stop.", 3)
    assert model.task.settings == {"rank": 8, "dtype": "bfloat16"}
    assert model.task.versions == {"tunery": "0.1"}
    assert model.artifact == f"models/{task.id}/1"
    assert (library.adapter_folder(model) / "adapter_config.json").read_text() == "{}"


def test_a_finished_task_leaves_no_checkpoint(library: Library) -> None:
    """The checkpoints of a task are removed when it ends."""
    task = claimed(library)
    (made_checkpoint(library, task) / "state").touch()

    library.finish(task, Phase.FAILED, error=TuningUnstable(3))

    assert list(library.folder.checkpoints.iterdir()) == []


def test_a_failed_task_says_why(library: Library) -> None:
    """A failed model is not usable, and its task keeps the code and sentence of the error, and the curve."""
    task = claimed(library)
    library.heartbeat(task, Phase.RUNNING, Progress(step=2, snapshots=a_curve(2)))

    model = library.finish(task, Phase.FAILED, error=TuningUnstable(3))

    assert model.state == State.FAILED
    assert (model.task.error_code, model.task.error_message) == (3, str(TuningUnstable(3)))
    assert model.task.snapshots == a_curve(2)
    with pytest.raises(FailedPrecondition, match="Use a smaller learning rate"):
        library.adapter_folder(model)


def test_a_model_cannot_be_used_while_it_is_tuned(library: Library) -> None:
    """Opening the adapter of a CREATING model raises an error that says how far it is."""
    task = claimed(library, id="numbers")
    library.heartbeat(task, Phase.RUNNING, Progress(step=3))

    with pytest.raises(FailedPrecondition, match="3 of 19 steps"):
        library.adapter_folder(library.get("numbers"))


def test_a_damaged_adapter_is_never_given(library: Library) -> None:
    """An adapter file that changed after it was published raises DataLoss."""
    model = tuned(library)
    (library.folder.path / str(model.artifact) / "adapter_config.json").write_text("{ }")

    with pytest.raises(DataLoss, match=r"adapter_config\.json"):
        library.adapter_folder(model)


def test_a_cancelled_run_keeps_what_was_tuned(library: Library) -> None:
    """A cancelled task learns it at its next heartbeat, cannot commit, and ends CANCELLED with a usable model."""
    task = claimed(library, id="numbers")
    library.heartbeat(task, Phase.RUNNING, Progress(step=1))
    library.request_cancel("numbers")

    assert library.heartbeat(task, Phase.RUNNING, Progress(step=2))
    assert library.heartbeat(task, Phase.PUBLISHING)
    model = library.finish(task, Phase.CANCELLED, published=library.folder.publish(task, write_adapter))

    assert (model.state, model.task.phase, model.task.error_code) == (State.ACTIVE, Phase.CANCELLED, 1)
    assert library.adapter_folder(model)


def test_a_waiting_task_is_cancelled_at_once(library: Library) -> None:
    """Cancelling a queued task without checkpoint ends it at once, with a FAILED model."""
    library.create(a_request(id="numbers"))

    model = library.request_cancel("numbers")

    assert (model.state, model.task.phase, model.task.error_code) == (State.FAILED, Phase.CANCELLED, 1)
    assert library.claim("a test") is None


def test_a_waiting_task_with_a_checkpoint_is_cancelled_by_publishing_it(library: Library) -> None:
    """Cancelling a queued task with a checkpoint keeps it for a claim of cancelled tasks, which publishes it."""
    task = claimed(library, id="numbers")
    library.heartbeat(task, Phase.RUNNING, Progress(step=5, checkpoint_step=4))
    library.release(task)
    library.request_cancel("numbers")

    assert library.claim("a test") is None
    again = library.claim("a test", is_cancelled=True)
    assert again is not None
    assert (again.checkpoint_step, again.claim_number) == (4, 2)
    model = library.finish(again, Phase.CANCELLED, published=library.folder.publish(again, write_adapter))
    assert model.state == State.ACTIVE


def test_a_finished_task_cannot_be_cancelled(library: Library) -> None:
    """Cancelling after the end changes nothing."""
    model = tuned(library, id="numbers")

    assert library.request_cancel("numbers") == model


def test_deleting_takes_everything_and_fences_the_worker(library: Library) -> None:
    """A deleted model is gone with its files and examples; its worker can write nothing more."""
    task = claimed(library, id="numbers")
    model = library.get("numbers")
    made_checkpoint(library, task)
    library.folder.publish(task, write_adapter)

    library.delete("numbers")

    assert library.list() == ()
    assert library.examples(model) == ((), ())
    assert list(library.folder.models.iterdir()) == list(library.folder.checkpoints.iterdir()) == []
    for late_write in (
        lambda: library.heartbeat(task, Phase.RUNNING),
        lambda: library.finish(task, Phase.FAILED, error=TuningUnstable(1)),
        lambda: library.release(task),
    ):
        with pytest.raises(Fenced):
            late_write()
    with pytest.raises(NotFound):
        library.delete("numbers")


def test_the_same_request_finds_its_unfinished_model(library: Library) -> None:
    """A request repeated before its model is finished finds it; finished, cancelled or changed ones do not count."""
    digest = a_request().sha256()
    assert library.find_unfinished(digest) is None

    task = claimed(library)
    found = library.find_unfinished(digest)

    assert found is not None
    assert found.task.id == task.id
    assert library.find_unfinished(a_request(seed=1).sha256()) is None
    library.finish(task, Phase.FAILED, error=TuningUnstable(1))
    assert library.find_unfinished(digest) is None


def test_tasks_are_claimed_in_the_order_they_came(library: Library) -> None:
    """The oldest waiting task is claimed first, those held back are skipped, and each is claimed once."""
    first, second, third = (library.create(a_request()).task.id for _ in range(3))

    claims = [library.claim("a test", held_back=[first]), library.claim("a test"), library.claim("a test")]

    assert [task and task.id for task in claims] == [second, first, third]
    assert library.claim("a test") is None
    assert library.claim("a test", task_id=first) is None


def _with_lost_worker(home: Path, task_id: str, **progress: int) -> TuningTask:
    """Claim a task and abandon the library, as a dying process does."""
    with Library.own(home) as library:
        task = library.claim("a test", task_id=task_id)
        assert task is not None, "the task cannot be claimed any more"
        library.heartbeat(task, Phase.RUNNING, Progress(**progress))
    return task


def test_a_lost_task_waits_to_be_resumed(home: Path) -> None:
    """The next owner puts the task of a dead one back into the queue, to resume from its checkpoint, as one loss."""
    with Library.own(home) as library:
        model = library.create(a_request())
    lost = _with_lost_worker(home, model.task.id, step=7, checkpoint_step=5)

    with Library.own(home) as library:
        found = library.find_unfinished(a_request().sha256())
        assert found is not None
        assert found.task.phase == Phase.QUEUED
        task = library.claim("a test", task_id=found.task.id)
        assert task is not None
        assert (task.claim_number, task.checkpoint_step, task.completed_steps) == (2, 5, 7)
        with pytest.raises(Fenced):
            library.heartbeat(lost, Phase.RUNNING)


def test_a_resumed_task_never_shows_less_than_before(library: Library) -> None:
    """Steps repeated after a resume shorten neither the step count nor the curve."""
    task = claimed(library, id="numbers")
    library.heartbeat(task, Phase.RUNNING, Progress(step=7, checkpoint_step=5, snapshots=a_curve(7)))
    library.release(task)
    again = library.claim("a test")
    assert again is not None

    library.heartbeat(again, Phase.RUNNING, Progress(step=6, snapshots=a_curve(6)))

    model = library.get("numbers")
    assert model.task.completed_steps == 7
    assert model.task.snapshots == a_curve(7)


def test_a_task_that_kills_three_workers_at_one_step_is_given_up(home: Path) -> None:
    """Three losses at the same step end the task as FAILED/13 with a message."""
    with Library.own(home) as library:
        task_id = library.create(a_request(id="poison")).task.id
    for _ in range(3):
        _with_lost_worker(home, task_id, step=7)

    with Library.own(home) as library:
        model = library.get("poison")

    assert (model.state, model.task.phase, model.task.error_code) == (State.FAILED, Phase.FAILED, 13)
    assert "3 times, the last time after step 7" in str(model.task.error_message)


def test_a_task_that_loses_five_workers_is_given_up(home: Path) -> None:
    """Five losses in all end the task, four at different steps do not; released tasks do not count."""
    with Library.own(home) as library:
        task_id = library.create(a_request(id="unlucky")).task.id
    for step in (1, 2, 3, 4):
        _with_lost_worker(home, task_id, step=step)
    with Library.own(home) as library:
        task = library.claim("a test")
        assert task is not None
        library.release(task)
    _with_lost_worker(home, task_id, step=5)

    with Library.own(home) as library:
        assert library.get("unlucky").task.phase == Phase.FAILED


def test_a_lost_task_that_was_to_be_cancelled_is(home: Path) -> None:
    """A worker that dies before it could cancel leaves a cancelled task, or one whose checkpoint is to be published."""
    with Library.own(home) as library:
        for model_id, checkpoint_step in (("early", 0), ("late", 4)):
            task = claimed(library, id=model_id)
            library.heartbeat(task, Phase.RUNNING, Progress(step=5, checkpoint_step=checkpoint_step))
            library.request_cancel(model_id)

    with Library.own(home) as library:
        assert library.get("early").task.phase == Phase.CANCELLED
        task_to_publish = library.claim("a test", is_cancelled=True)
        assert task_to_publish is not None
        assert task_to_publish.tuned_model_id == "late"


def test_a_worker_taken_for_memory_is_no_loss(library: Library) -> None:
    """Each time memory runs out the next claim has half as many examples at a time; when one was too many: FAILED/8."""
    task: TuningTask | None = claimed(library, id="numbers")
    sizes = []
    while task is not None:
        sizes.append(task.micro_batch_size)
        library.take_back(task, is_short_of_memory=True)
        task = library.claim("a test")

    ended = library.get("numbers").task
    assert sizes == [None, 2, 1]
    assert (ended.phase, ended.error_code) == (Phase.FAILED, 8)
    assert "smaller batch size" in str(ended.error_message)
