"""The work on a task in this process: events, endings, and the state of the library after each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.engine.tiny_bases import make_folder
from tests.fakes import write_learnable_base
from tunery.engine import tuner as tuning
from tunery.engine.catalog import Catalog
from tunery.engine.network import Network
from tunery.errors import AnswersRuined, DataLoss, FailedPrecondition, OutOfMemory, ResourceExhausted, TuningUnstable
from tunery.service.library import Fenced, Library
from tunery.service.task import TaskWorker
from tunery.service.tuning import (
    Beat,
    Ended,
    Event,
    Finish,
    Loss,
    Noticed,
    PhaseEntered,
    PutBack,
    Started,
    StepDone,
    TuningRequest,
)
from tunery.types import DataFacts, Hyperparameters, Phase, State, TunedModel, TuningExample

EXAMPLES = tuple(TuningExample(str(number), str(number + 1)) for number in range(12))


@pytest.fixture(scope="module")
def home_with_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the base `tiny`; its tests share it, so the base is loaded once."""
    folder = tmp_path_factory.mktemp("run")
    Catalog(folder / "home").add(str(make_folder(folder / "base")), "tiny")
    return folder / "home"


@pytest.fixture
def library(home_with_base: Path) -> Iterator[Library]:
    with Library.own(home_with_base) as library:
        yield library


@pytest.fixture(scope="module")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Return a library whose base `tiny` can learn sure answers."""
    folder = tmp_path_factory.mktemp("learnable")
    Catalog(folder / "home").add(str(write_learnable_base(folder / "base", max_position_embeddings=512)), "tiny")
    with Library.own(folder / "home") as library:
        yield library


def digest_of(library: Library) -> str:
    return Catalog(library.folder.path).digest("tiny")


def created(library: Library, **changes: Any) -> TunedModel:
    """Return a new tuned model of 3 epochs of 3 steps."""
    request = TuningRequest(
        base_model="tiny",
        base_digest=Catalog(library.folder.path).digest("tiny"),
        data=DataFacts(12, "digest", "numbers.csv"),
        examples=EXAMPLES,
        hyperparameters=Hyperparameters(epoch_count=3).resolve(),
        display_name="Numbers",
    )
    return library.create(replace(request, **changes))


def worked(worker: TaskWorker) -> list[Event]:
    return list(worker.events())


def left_after(worker: TaskWorker, steps: int) -> None:
    """Do a number of steps of a task, then leave it."""
    with closing(worker.events()) as events:
        for event in events:
            if isinstance(event, StepDone) and event.snapshot.step == steps:
                return


def adapter(library: Library, model: TunedModel) -> bytes:
    return (library.adapter_folder(library.get(model.id)) / "adapter_model.safetensors").read_bytes()


def test_a_task_tells_its_trip_in_order(library: Library) -> None:
    """Preparing, started, one event per step, publishing, ended with an ACTIVE model."""
    events = worked(TaskWorker.claim(library, created(library)))

    assert events[0] == PhaseEntered(Phase.PREPARING)
    assert isinstance(events[1], Started)
    assert (events[1].step, events[1].total_steps) == (1, 9)
    assert [event.snapshot.step for event in events if isinstance(event, StepDone)] == list(range(1, 10))
    assert events[-2] == PhaseEntered(Phase.PUBLISHING)
    assert isinstance(events[-1], Ended)
    assert events[-1].model.state is State.ACTIVE


def test_the_record_is_complete(library: Library) -> None:
    """Curve, losses per epoch, advice, settings in force and versions are in the library; no checkpoint is left."""
    model = created(library)

    worked(TaskWorker.claim(library, model))

    task = library.get(model.id).task
    assert (task.phase, task.completed_steps, len(task.snapshots)) == (Phase.SUCCEEDED, 9, 9)
    assert [loss.epoch for loss in task.epoch_losses] == [1, 2, 3]
    assert task.advice is not None
    assert {"rank", "alpha", "dtype", "threads", "micro_batch_size", "best_epoch"} <= task.settings.keys()
    assert task.settings["best_epoch"] == 3
    assert task.settings["processor_seconds"] > 0
    assert task.settings["peak_memory_bytes"] > 10**7
    assert task.settings["epoch_tokens"] > len(library.examples(model)[0])
    assert {"tunery", "torch", "transformers", "python"} == task.versions.keys()
    assert not library.folder.checkpoint(task.id).exists()


def test_a_cancelled_task_can_be_closed_after_its_end(library: Library) -> None:
    """Its checkpoint is removed by then, and none is written any more."""
    model = created(library)
    worker = TaskWorker.claim(library, model)

    with closing(worker.events()) as events:
        for event in events:
            if isinstance(event, StepDone) and event.snapshot.step == 2:
                worker.cancel()
            if isinstance(event, Ended):
                break

    assert library.get(model.id).task.phase is Phase.CANCELLED
    assert not library.folder.checkpoint(model.task.id).exists()


def test_everything_is_published(library: Library) -> None:
    """The adapter to serve, every kept epoch below `epochs`, and the curve are published and in the manifest."""
    model = created(library)

    worked(TaskWorker.claim(library, model))

    folder = library.adapter_folder(library.get(model.id))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    files = ("adapter_config.json", "adapter_model.safetensors")
    assert names == {
        "manifest.json",
        "tuning.json",
        "loss.svg",
        *files,
        *(f"epochs/{epoch}/{file}" for epoch in (1, 2, 3) for file in files),
    }


def test_held_out_rows_choose_the_epoch(library: Library) -> None:
    """The adapter at the root is that of the epoch with the lowest held-out loss, also when it is not the last."""
    values = Hyperparameters(epoch_count=8, learning_rate=0.05).resolve()
    model = created(library, hyperparameters=values, held_out=(TuningExample("40", "x"), TuningExample("41", "y")))

    worked(TaskWorker.claim(library, model))

    task = library.get(model.id).task
    best = min(task.epoch_losses, key=lambda loss: loss.held_out_loss or 0).epoch
    assert task.settings["best_epoch"] == best < 8
    epoch = library.adapter_folder(library.get(model.id)) / "epochs" / str(best) / "adapter_model.safetensors"
    assert adapter(library, model) == epoch.read_bytes()


def test_cancel_keeps_what_was_tuned(library: Library) -> None:
    """A task that is cancelled after two steps ends CANCELLED with a usable adapter of two steps."""
    worker = TaskWorker.claim(library, created(library))
    events = []
    for event in worker.events():
        events.append(event)
        if isinstance(event, StepDone) and event.snapshot.step == 2:
            worker.cancel()

    model = events[-1].model if isinstance(events[-1], Ended) else None
    assert model is not None
    assert (model.state, model.task.phase, model.task.completed_steps) == (State.ACTIVE, Phase.CANCELLED, 2)
    assert "best_epoch" not in model.task.settings or model.task.settings["best_epoch"] is None
    assert adapter(library, model)


@pytest.mark.parametrize(("batch_size", "stop", "served"), [(16, 8, 21), (6, 7, 7)])
def test_cancel_at_the_end_of_an_epoch_serves_it(library: Library, batch_size: int, stop: int, served: int) -> None:
    """The last epoch that the step ends answers, although every other one of 25 epochs is not kept otherwise."""
    settings = Hyperparameters(25, batch_size).resolve()
    worker = TaskWorker.claim(library, created(library, hyperparameters=settings, examples=EXAMPLES[:6]))
    for event in worker.events():
        if isinstance(event, StepDone) and event.snapshot.step == stop:
            worker.cancel()

    assert isinstance(event, Ended)
    assert (event.model.served_epoch, event.model.task.epoch_losses[-1].epoch) == (served, served)
    epoch = library.adapter_folder(event.model) / "epochs" / str(served) / "adapter_model.safetensors"
    assert adapter(library, event.model) == epoch.read_bytes()


def test_cancel_before_the_first_step_leaves_nothing(library: Library) -> None:
    """A task that is cancelled while it is prepared ends CANCELLED, its model FAILED."""
    worker = TaskWorker.claim(library, created(library))
    events = worker.events()
    next(events)
    worker.cancel()

    *_, last = events
    assert isinstance(last, Ended)
    assert (last.model.state, last.model.task.phase) == (State.FAILED, Phase.CANCELLED)


def test_cancel_past_the_commit_point_has_no_effect(library: Library) -> None:
    """A task that is cancelled while it is published succeeds."""
    worker = TaskWorker.claim(library, created(library))
    for event in worker.events():
        if event == PhaseEntered(Phase.PUBLISHING):
            worker.cancel()

    assert isinstance(event, Ended)
    assert event.model.task.phase is Phase.SUCCEEDED


def test_leaving_puts_the_task_back_with_a_checkpoint(library: Library) -> None:
    """A closed generator leaves the task QUEUED with a checkpoint of the last step, and sets the step to resume at."""
    model = created(library)
    worker = TaskWorker.claim(library, model)

    left_after(worker, 4)

    task = library.get(model.id).task
    assert (task.phase, task.checkpoint_step, task.completed_steps) == (Phase.QUEUED, 4, 4)
    assert worker.resume_step == 5


def test_a_resumed_task_gives_the_same_bytes(library: Library) -> None:
    """Left three times and resumed, a task makes the same adapter as an undisturbed one."""
    undisturbed, model = created(library), created(library)
    worked(TaskWorker.claim(library, undisturbed))

    for steps in (2, 3, 7):
        left_after(TaskWorker.claim(library, library.get(model.id)), steps)
    events = worked(TaskWorker.claim(library, library.get(model.id)))

    assert [event.step for event in events if isinstance(event, Started)] == [8]
    assert adapter(library, model) == adapter(library, undisturbed)
    assert len(library.get(model.id).task.snapshots) == 9


def test_a_task_cancelled_while_it_waited_is_published(library: Library) -> None:
    """A task with a checkpoint that was cancelled in the queue is published without another step."""
    model = created(library)
    left_after(TaskWorker.claim(library, model), 3)
    library.request_cancel(model.id)

    events = worked(TaskWorker.claim(library, library.get(model.id)))

    assert not any(isinstance(event, StepDone) for event in events)
    assert library.get(model.id).state is State.ACTIVE
    assert library.get(model.id).task.phase is Phase.CANCELLED


def test_a_checkpoint_of_other_settings_is_not_continued(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another recipe than that of the checkpoint, tuning starts over with a notice."""
    model = created(library)
    left_after(TaskWorker.claim(library, model), 3)
    monkeypatch.setattr(tuning, "Recipe", lambda: replace(_RECIPE, rank=4))

    events = worked(TaskWorker.claim(library, library.get(model.id)))

    notices = [event.text for event in events if isinstance(event, Noticed)]
    assert any("starts over at step 1" in text for text in notices)
    assert library.get(model.id).state is State.ACTIVE


def test_a_task_of_an_earlier_engine_begins_again_and_says_why(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint is not mixed with numbers that are rounded differently."""
    model = created(library)
    left_after(TaskWorker.claim(library, model), 3)
    monkeypatch.setattr(tuning, "ENGINE", tuning.ENGINE + 1)

    events = worked(TaskWorker.claim(library, library.get(model.id)))

    notices = [event.text for event in events if isinstance(event, Noticed)]
    assert notices == [
        "The checkpoint was made by an earlier engine, which rounds differently; tuning starts over at step 1."
    ]
    assert library.get(model.id).state is State.ACTIVE


_RECIPE = tuning.Recipe()


def test_rows_that_are_too_long_are_noticed(library: Library) -> None:
    """Rows that lose the end of their input are counted in a notice."""
    long = (*EXAMPLES, TuningExample("a" * 500, "b"))

    events = worked(TaskWorker.claim(library, created(library, examples=long)))

    notices = [event.text for event in events if isinstance(event, Noticed)]
    assert notices == ["1 row is longer than the 128 tokens of this base; the end of the input is cut off."]


def test_numbers_that_are_none_fail_the_task(library: Library) -> None:
    """An absurd learning rate ends FAILED with code 3 and the step; the curve so far is kept."""
    model = created(library, hyperparameters=Hyperparameters(learning_rate=1e30).resolve())

    with pytest.raises(TuningUnstable, match="Use a smaller learning rate"):
        worked(TaskWorker.claim(library, model))

    task = library.get(model.id).task
    assert (task.phase, task.error_code) == (Phase.FAILED, 3)
    assert task.error_message
    assert task.snapshots


def test_damaged_weights_are_named_and_not_the_learning_rate(tmp_path: Path) -> None:
    """A bit that flipped while the base was in use makes the loss no number: FAILED/15 with the file and what to do."""
    weights = make_folder(tmp_path / "base") / "model.safetensors"
    Catalog(tmp_path / "home").add(str(tmp_path / "base"), "tiny")
    with Library.own(tmp_path / "home") as library:
        model = created(library, hyperparameters=Hyperparameters(learning_rate=1e30).resolve())
        worker = TaskWorker.claim(library, model)

        with pytest.raises(DataLoss, match=r"model\.safetensors is not the file that was added"):
            _work_and_damage(worker, weights)

        assert library.get(model.id).task.error_code == 15


def _work_and_damage(worker: TaskWorker, weights: Path) -> None:
    for event in worker.events():
        if isinstance(event, Started):
            with weights.open("r+b") as file:
                file.seek(-1000, 2)
                file.write(bytes(1000))


@pytest.mark.parametrize(("raised", "expected", "code"), [(MemoryError, OutOfMemory, 8), (ValueError, ValueError, 13)])
def test_failures_of_the_work_are_recorded(
    library: Library, monkeypatch: pytest.MonkeyPatch, raised: type[Exception], expected: type[Exception], code: int
) -> None:
    """Out of memory ends FAILED with 8, an unexpected error with 13; the model is not usable."""
    model = created(library)
    monkeypatch.setattr(Network, "add_gradient", _raising(raised()))

    with pytest.raises(expected):
        worked(TaskWorker.claim(library, model))

    failed = library.get(model.id)
    assert (failed.state, failed.task.error_code) == (State.FAILED, code)


def test_a_full_disk_puts_the_task_back(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no room for a checkpoint the earlier one is kept, the task waits and the error says what to do."""
    model = created(library)
    left_after(TaskWorker.claim(library, model), 3)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(tuning, "write_checkpoint", _raising(full))
    worker = TaskWorker.claim(library, library.get(model.id))

    with pytest.raises(ResourceExhausted, match=r"disk is full.*Free some space"):
        worked(worker)

    task = library.get(model.id).task
    assert (task.phase, task.checkpoint_step) == (Phase.QUEUED, 3)
    assert worker.resume_step == 4


@pytest.mark.parametrize("refused", [(Beat,), (Finish,), (Finish, PutBack), (Beat, PutBack)])
def test_a_disk_that_is_full_for_a_moment_costs_no_job(library: Library, refused: tuple[type, ...]) -> None:
    """A beat, an ending or a putting back that cannot be written is not the task's fault: it succeeds at last."""
    model = created(library)
    for _ in range(4):
        worker = TaskWorker.claim(library, library.get(model.id))
        worker._call = _refusing(worker._call, *refused)
        with pytest.raises(ResourceExhausted):
            worked(worker)
        library.take_back_lost_tasks(Loss.ERROR)  # as the worker of a server does each second
        assert library.get(model.id).task.phase is Phase.QUEUED

    worked(TaskWorker.claim(library, library.get(model.id)))
    assert library.get(model.id).task.phase is Phase.SUCCEEDED


def _refusing(call: Any, *refused: type) -> Any:
    """Return a function that calls, but cannot write what is of these types."""

    def called(wanted: Any) -> Any:
        if isinstance(wanted, refused):
            raise ResourceExhausted("The disk is full.")
        return call(wanted)

    return called


def test_a_beat_that_cannot_be_written_does_not_keep_the_task_from_the_queue(library: Library) -> None:
    """What is written when a task is put back is two writes: the first may fail without the second."""
    model = created(library)
    worker = TaskWorker.claim(library, model)
    events = worker.events()
    next(event for event in events if isinstance(event, StepDone))
    worker._call = _refusing(worker._call, Beat)
    events.close()

    assert library.get(model.id).task.phase is Phase.QUEUED


def test_force_in_the_middle_of_a_step_keeps_the_checkpoint_before(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt inside a step puts the task back without writing half a step."""
    model = created(library)
    left_after(TaskWorker.claim(library, model), 3)
    with monkeypatch.context() as patch:
        patch.setattr(Network, "add_gradient", _raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            worked(TaskWorker.claim(library, library.get(model.id)))

    task = library.get(model.id).task
    assert (task.phase, task.checkpoint_step) == (Phase.QUEUED, 3)


def test_a_deleted_model_stops_its_worker(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting the model fences the worker at its next beat; no file of it is left."""
    monkeypatch.setattr("tunery.service.task.BEAT_SECONDS", 0)
    model = created(library)

    events = TaskWorker.claim(library, model).events()
    while not isinstance(next(events), StepDone):
        pass
    library.delete(model.id)

    with pytest.raises(Fenced):
        list(events)
    assert model.id not in [other.id for other in library.list()]
    assert not (library.folder.models / model.task.id).exists()


def test_a_base_that_changed_is_refused(library: Library) -> None:
    """A task whose base has changed fails with a message instead of mixing weights."""
    model = created(library, base_digest="another")

    with pytest.raises(FailedPrecondition, match="base tiny changed"):
        worked(TaskWorker.claim(library, model))

    assert library.get(model.id).task.error_code == 9


LABELS = ("red", "green", "blue", "black")
LABELLED = tuple(TuningExample(f"{n} {LABELS[n % 4]}", LABELS[n % 4][0].upper()) for n in range(24))
RUINED = {0.1: "the same answer", 100.0: "an empty answer", 1e4: "an empty answer", 1e12: "an empty answer"}


@pytest.mark.parametrize("rate", RUINED)
def test_a_run_that_ends_in_one_answer_fails(learnable: Library, rate: float) -> None:
    """The loss fell from that of a model of random weights, but no input matters any more."""
    model = created(
        learnable, examples=LABELLED, hyperparameters=Hyperparameters(6, 4, rate), base_digest=digest_of(learnable)
    )

    with pytest.raises(AnswersRuined, match=RUINED[rate]):
        worked(TaskWorker.claim(learnable, model))

    ended = learnable.get(model.id)
    assert (ended.state, ended.task.error_code) == (State.FAILED, 3)


@pytest.mark.parametrize(
    ("rows", "rate"),
    [
        (LABELLED, 0.01),
        (LABELLED, 1e-5),
        (tuple(TuningExample(row.text_input, "R") for row in LABELLED), 0.01),
        (LABELLED[:1] * 12, 0.01),
    ],
    ids=["learns", "hardly learns", "one output", "one row"],
)
def test_a_healthy_run_is_not_called_ruined(learnable: Library, rows: tuple[TuningExample, ...], rate: float) -> None:
    """Neither one that learns little, nor data with one output or one row, which was named before the start."""
    model = created(
        learnable, examples=rows, hyperparameters=Hyperparameters(3, 4, rate), base_digest=digest_of(learnable)
    )

    worked(TaskWorker.claim(learnable, model))

    ended = learnable.get(model.id)
    assert ended.state is State.ACTIVE
    assert ended.task.advice is None or ended.task.advice.kind not in ("ruined", "constant")


def test_a_whole_learning_rate_is_not_taken_for_damage(library: Library) -> None:
    """SQLite returns 2.0 as 2 from an update; the settings are the same."""
    model = created(library, hyperparameters=Hyperparameters(1, 4, 2.0), examples=EXAMPLES[:2])

    worker = TaskWorker.claim(library, model)
    with closing(worker.events()) as events:
        assert any(isinstance(event, Started) for event in events)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tuning_examples SET output = output || 'x' WHERE position = 3",
        "UPDATE tuning_tasks SET seed = seed + 1",
        "UPDATE tuning_tasks SET learning_rate = learning_rate * 2",
        "DELETE FROM tuning_examples WHERE position = 3",
    ],
)
def test_rows_that_changed_in_the_database_are_not_tuned_on(library: Library, damage: str) -> None:
    """A bit that flipped in an example or a setting ends the task with what to do, and its checkpoint is not mixed."""
    model = created(library)
    with library.database.writing() as connection:
        connection.exec_driver_sql(damage)

    with pytest.raises(DataLoss, match=f"examples or settings of {model.id} were damaged.*Create it again"):
        worked(TaskWorker.claim(library, library.get(model.id)))

    assert library.get(model.id).task.error_code == 15


def test_a_task_is_worked_on_once(library: Library) -> None:
    """A finished task cannot be claimed again."""
    model = created(library)
    worked(TaskWorker.claim(library, model))

    with pytest.raises(FailedPrecondition, match="not waiting"):
        TaskWorker.claim(library, library.get(model.id))


def _raising(error: BaseException) -> Any:
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising


def test_answers_on_the_way_take_no_longer_than_they_may(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are cut where their time is over: on a busy machine 48 tokens took longer than the job itself."""
    model = created(library)
    monkeypatch.setattr("tunery.service.task.SAMPLED_SECONDS", 0.0)
    monkeypatch.setattr("tunery.service.task.SAMPLED_SHARE", 1e-9)

    worked(TaskWorker.claim(library, model))

    found = library.epoch_answers(model)
    assert found is not None
    assert all(len(answer) <= 1 for answer in found["epochs"][0]["answers"])


def test_a_few_rows_are_answered_after_each_epoch(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out rows if there are any; the adapter has the bytes of a job without, and a failure costs nothing."""
    monkeypatch.setattr("tunery.service.task.SAMPLED_SHARE", 1e9)
    held_out = (TuningExample("40", "41"), TuningExample("41", "42"))
    sampled = created(library, held_out=held_out)
    worked(TaskWorker.claim(library, sampled))

    found = library.epoch_answers(sampled)

    assert found is not None
    assert [row["text_input"] for row in found["rows"]] == ["40", "41"]
    assert [one["epoch"] for one in found["epochs"]] == [1, 2, 3]
    assert all(len(one["answers"]) == 2 for one in found["epochs"])
    monkeypatch.setattr("tunery.engine.resident.ResidentBase.sample", None)
    plain = created(library, held_out=held_out)
    worked(TaskWorker.claim(library, plain))
    assert library.epoch_answers(plain) is None
    assert adapter(library, plain) == adapter(library, sampled)
