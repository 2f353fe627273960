"""The tasks of a library: claimed, tuned, finished, cancelled, lost with their process and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.samples import a_curve, a_request, claimed, made_checkpoint, tuned, write_adapter
from tunery.errors import DataLoss, FailedPrecondition, NotFound, TuningUnstable
from tunery.service.library import Fenced, Library
from tunery.service.process import machine_start
from tunery.service.tuning import Loss, Progress
from tunery.types import Advice, EpochLoss, Hyperparameters, Phase, State, TuningTask


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


def test_a_waiting_task_is_put_before_its_users_others(library: Library) -> None:
    """The others keep their order, other users keep their turns, and a task that has begun cannot be moved."""
    for name in ("ann-1", "ann-2", "ann-3", "bob-1"):
        library.create(a_request(id=name, user_id=f"{name.partition('-')[0]}@example.com"))

    library.start_next(library.get("ann-3"))

    claims = [library.claim("a test") for _ in range(4)]
    assert [task and task.tuned_model_id for task in claims] == ["ann-3", "bob-1", "ann-1", "ann-2"]
    with pytest.raises(FailedPrecondition, match="not waiting"):
        library.start_next(library.get("ann-2"))


def test_users_take_turns(library: Library) -> None:
    """A user's second task waits behind the first of another, however many came before; the queue says so."""
    made = {
        name: library.create(a_request(id=name, user_id=f"{name.partition('-')[0]}@example.com"))
        for name in ("ann-1", "ann-2", "ann-3", "bob-1", "bob-2", "cid-1")
    }
    places = library.places_in_queue()
    assert sorted(made, key=lambda name: places[made[name].task.id]) == [
        "ann-1",
        "bob-1",
        "cid-1",
        "ann-2",
        "bob-2",
        "ann-3",
    ]

    claims = [library.claim("a test") for _ in made]

    assert [task and task.tuned_model_id for task in claims] == ["ann-1", "bob-1", "cid-1", "ann-2", "bob-2", "ann-3"]


def test_who_was_served_waits_for_who_was_not(library: Library) -> None:
    """The turn counts tasks that have ended, too: one worker does one task at a time."""
    for name in ("ann-1", "ann-2"):
        library.create(a_request(id=name, user_id="ann@example.com"))
    first = library.claim("a test")
    assert first is not None
    library.create(a_request(id="bob-1", user_id="bob@example.com"))
    library.finish(first, Phase.FAILED, error=TuningUnstable(1))

    claims = [library.claim("a test"), library.claim("a test")]

    assert [task and task.tuned_model_id for task in claims] == ["bob-1", "ann-2"]


def test_what_was_begun_goes_on_first(library: Library) -> None:
    """A task that was put back, as at a stop of the server, comes before the turns of others."""
    task = claimed(library, id="ann-1", user_id="ann@example.com")
    library.create(a_request(id="bob-1", user_id="bob@example.com"))
    library.release(task)

    again = library.claim("a test")

    assert again is not None
    assert again.tuned_model_id == "ann-1"


def _with_lost_worker(home: Path, task_id: str, **progress: int) -> TuningTask:
    """Claim a task and abandon the library, as a dying process does."""
    with Library.own(home) as library:
        task = library.claim("a test", task_id=task_id)
        assert task is not None, "the task cannot be claimed any more"
        library.heartbeat(task, Phase.RUNNING, Progress(**progress))
    return task


def test_a_lost_task_waits_to_be_resumed(home: Path) -> None:
    """The next owner puts the task of a dead one back into the queue, to resume from its checkpoint."""
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


def _lose(library: Library, loss: Loss, step: int) -> None:
    """Claim the oldest task, let it reach a step and lose its process."""
    task = library.claim("a test")
    assert task is not None, "the task cannot be claimed any more"
    library.heartbeat(task, Phase.RUNNING, Progress(step=step))
    library.take_back(task, loss)


def test_a_task_that_kills_three_workers_at_one_step_is_given_up(library: Library) -> None:
    """Three deaths of its own process at the same step end the task as FAILED/13 with a message."""
    library.create(a_request(id="poison"))
    for _ in range(3):
        _lose(library, Loss.PROCESS, step=7)

    model = library.get("poison")

    assert (model.state, model.task.phase, model.task.error_code) == (State.FAILED, Phase.FAILED, 13)
    assert "3 times, the last time after step 7" in str(model.task.error_message)


def test_a_task_that_loses_five_workers_is_given_up(library: Library) -> None:
    """Five deaths of its own process end the task; released tasks and rows that an error left do not count."""
    library.create(a_request(id="unlucky"))
    for step in (1, 2, 3, 4):
        _lose(library, Loss.PROCESS, step=step)
        _lose(library, Loss.ERROR, step=step)
    task = library.claim("a test")
    assert task is not None
    library.release(task)
    assert library.get("unlucky").task.phase == Phase.QUEUED
    _lose(library, Loss.PROCESS, step=5)

    assert library.get("unlucky").task.phase == Phase.FAILED


def _die(home: Path, step: int, machine: str | None, *, survives: bool = False) -> str:
    """Open the folder as a server, claim a task, and die with it; return the id of its model."""
    with Library.own(home) as library:
        task = library.claim("a test", machine_start=machine)
        assert task is not None, "no task can be claimed any more"
        library.heartbeat(task, Phase.RUNNING, Progress(step=step))
        if survives:
            witness = library.folder.witness(task.id, task.claim_number)
            witness.parent.mkdir(parents=True, exist_ok=True)
            witness.touch()
    (home / "lock").write_text('{"pid": 1, "address": null}')  # as who is killed leaves it
    return task.tuned_model_id


@pytest.mark.parametrize("machine", [None, "another"])
def test_power_cuts_and_killed_commands_never_lose_a_job(home: Path, machine: str | None) -> None:
    """Twenty deaths at one step, of a command or of a machine that was started again, leave the task in the queue."""
    with Library.own(home) as library:
        library.create(a_request(id="patient"))
    for _ in range(20):
        _die(home, 0, machine)

    with Library.own(home) as library:
        assert library.get("patient").task.phase == Phase.QUEUED


@pytest.mark.parametrize(("steps", "survives"), [((0, 0, 1, 1, 2, 2, 3, 3), False), ((0,) * 8, True)])
def test_deaths_of_the_server_alone_never_lose_a_job(home: Path, steps: tuple[int, ...], survives: bool) -> None:
    """Neither deaths with progress between them nor deaths that the process of the task outlives count against it."""
    with Library.own(home) as library:
        library.create(a_request(id="patient"))
    for step in steps:
        _die(home, step, machine_start(), survives=survives)

    with Library.own(home) as library:
        assert library.get("patient").task.phase == Phase.QUEUED


def test_servers_that_stop_on_a_full_disk_never_lose_a_job(home: Path) -> None:
    """Eight servers that ended by themselves, but could not write that they put the task back, are no deaths."""
    with Library.own(home) as library:
        library.create(a_request(id="patient"))
    for _ in range(8):
        with Library.own(home) as library:
            assert library.claim("a test", machine_start=machine_start()) is not None

    with Library.own(home) as library:
        assert library.get("patient").task.phase == Phase.QUEUED


def test_a_task_that_takes_the_server_with_it_is_found_out(home: Path) -> None:
    """After three deaths at one step it comes last and is tried by itself; the fifth death ends it as FAILED/13."""
    with Library.own(home) as library:
        library.create(a_request(id="fatal"))
        library.create(a_request(id="harmless"))
    died_with = [_die(home, 0, machine_start()) for _ in range(3)]
    with Library.own(home) as library:
        assert library.is_suspect(library.get("fatal").task)
        harmless = library.claim("a test")
        assert harmless is not None
        library.finish(harmless, Phase.FAILED, Progress(), error=TuningUnstable(1))
    died_with += [_die(home, 0, machine_start()) for _ in range(2)]

    with Library.own(home) as library:
        task = library.get("fatal").task

    assert (harmless.tuned_model_id, set(died_with)) == ("harmless", {"fatal"})
    assert (task.phase, task.error_code) == (Phase.FAILED, 13)
    assert "the server died 5 times during it after step 0" in str(task.error_message)


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


@pytest.mark.parametrize("rate", [1.0, 2, 0.25])
def test_a_rate_without_a_fraction_is_no_damage(library: Library, rate: float) -> None:
    """SQLite gives 1.0 back as 1; the inputs of the task are what they were."""
    task = claimed(library, hyperparameters=Hyperparameters(learning_rate=rate).resolve())

    used, held_out, source = library.inputs(library.get(task.tuned_model_id), task)

    assert (len(used), held_out, source) == (15, (), None)


def test_a_worker_taken_for_memory_is_no_loss(library: Library) -> None:
    """Each time memory runs out the next claim has half as many examples at a time; when one was too many: FAILED/8."""
    task: TuningTask | None = claimed(library, id="numbers")
    sizes = []
    while task is not None:
        sizes.append(task.micro_batch_size)
        library.take_back(task, Loss.MEMORY)
        task = library.claim("a test")

    ended = library.get("numbers").task
    assert sizes == [None, 2, 1]
    assert (ended.phase, ended.error_code) == (Phase.FAILED, 8)
    assert "smaller batch size" in str(ended.error_message)
