"""From SQLite and folder to PostgreSQL and store, and back: the same models, files and rows."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.service.database.test_schema import RELEASED
from tests.service.samples import EXAMPLES, a_request, claimed, made_checkpoint, tuned
from tunery.config import Shared
from tunery.errors import DataLoss, FailedPrecondition
from tunery.service import moving
from tunery.service.backup import back_up, restore
from tunery.service.database import audit
from tunery.service.database import postgres as module
from tunery.service.folder import MIGRATED, DataFolder
from tunery.service.library import Library
from tunery.service.moving import from_team, to_team
from tunery.service.tuning import Progress
from tunery.types import Phase, TunedModel


@pytest.fixture
def shared(database_url: str, tmp_path: Path) -> Shared:
    """Return an empty PostgreSQL database and an empty store."""
    return Shared(database_url, (tmp_path / "store").as_uri())


def fill(home: Path) -> tuple[TunedModel, ...]:
    """Make a library with a tuned model, a waiting one, and one with a checkpoint, and return its models."""
    with Library.own(home) as library:
        tuned(library, id="tuned", description="Ä \U0001f600")
        library.create(a_request(id="waiting"))
        task = claimed(library, id="begun")
        (made_checkpoint(library, task) / "checkpoint.safetensors").write_text("state")
        library.heartbeat(task, Phase.RUNNING, Progress(step=3, checkpoint_step=3))
        library.release(task)
        library.put_report(library.get("tuned"), "EVALUATION", {"text": "\0 ä"})
        return library.list(with_snapshots=True)


def test_a_library_moves_to_a_team_and_back(shared: Shared, home: Path, tmp_path: Path) -> None:
    """Models, curves, examples, reports, adapters and checkpoints are the same there, and again at home."""
    models = fill(home)

    moved = to_team(home, shared)
    with Library.own(tmp_path / "other", shared=shared) as library:
        assert library.list(with_snapshots=True) == models
        assert library.examples(library.get("tuned"))[0] == EXAMPLES
        assert library.report(library.get("tuned"), "EVALUATION") == {"text": "\0 ä"}
        assert (library.adapter_folder(library.get("tuned")) / "epochs/1.safetensors").stat().st_size == 10_240
        assert library.create(a_request(id="new")).id == "new"  # its number comes after the others
        library.delete("new")
    back = from_team(tmp_path / "back", shared)

    assert moved.is_final
    assert (moved.adapters, back.adapters) == (1, 1)
    of = [{one.table: one for one in made.tables if one.table != "audit_events"} for made in (moved, back)]
    assert of[0] == of[1]
    with Library.own(tmp_path / "back") as library:
        assert library.list(with_snapshots=True) == models
        assert [event.number for event in audit.events(library.database, limit=10)] == [5, 4, 3, 2, 1]
        task = library.get("begun").task
        assert (library.folder.checkpoint(task.id) / "checkpoint.safetensors").read_text() == "state"


def test_the_folder_of_a_moved_library_works_with_the_new_settings(shared: Shared, home: Path) -> None:
    """Its database is renamed, not deleted; before, the folder is refused."""
    models = fill(home)
    with pytest.raises(FailedPrecondition, match="tunery migrate"), Library.own(home, shared=shared):
        pass

    to_team(home, shared)

    assert (home / MIGRATED).exists()
    with Library.own(home, shared=shared) as library:
        assert library.list(with_snapshots=True) == models


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_moved_library_is_not_replaced_by_an_empty_one(shared: Shared, home: Path, is_empty: bool) -> None:
    """Whoever forgets the new settings is told so; after the way back, the folder works as before."""
    with Library.own(home):
        pass
    models = () if is_empty else fill(home)
    to_team(home, shared)

    for opened in (Library.open, Library.own):
        with pytest.raises(FailedPrecondition, match=r"shared database\. .*`tunery migrate --back`"), opened(home):
            pass
    from_team(home, shared)
    with Library.own(home) as library:
        assert library.list(with_snapshots=True) == models


def test_a_served_folder_is_only_rehearsed(shared: Shared, home: Path) -> None:
    """While a server has the folder everything is copied and nothing is renamed; later the rest follows."""
    fill(home)
    with Library.own(home) as library:
        assert not to_team(home, shared).is_final
        library.create(a_request(id="later"))
        assert library.get("tuned").name == "tunedModels/tuned"  # it goes on reading and writing

    assert to_team(home, shared).is_final
    with Library.open(home, shared) as library:
        assert {model.id for model in library.list()} == {"tuned", "waiting", "begun", "later"}


@pytest.mark.parametrize("stop", ["_put_files", "copy_rows", "_summary"])
def test_a_move_that_breaks_off_is_run_again(
    shared: Shared, home: Path, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    """After files, before rows or within them: the folder still works, and the second run moves everything."""
    models = fill(home)
    place = module if stop == "_summary" else moving
    whole = getattr(place, stop)

    def broken(*arguments: object) -> object:
        if stop == "_put_files":
            whole(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(place, stop, broken)
        to_team(home, shared)
    with Library.own(home) as library:
        assert library.list(with_snapshots=True) == models
    to_team(home, shared)

    with Library.open(home, shared) as library:
        assert library.list(with_snapshots=True) == models


def test_a_database_in_use_is_left_alone(shared: Shared, home: Path, tmp_path: Path) -> None:
    """A model that only it has would be lost."""
    fill(home)
    with Library.own(tmp_path / "other", shared=shared) as library:
        library.create(a_request(id="theirs"))

    with pytest.raises(FailedPrecondition, match="'theirs'"):
        to_team(home, shared)

    with Library.own(tmp_path / "other", shared=shared) as library:
        assert [model.id for model in library.list()] == ["theirs"]


def test_a_damaged_adapter_is_not_moved(shared: Shared, home: Path) -> None:
    """Its file is named, and nothing is renamed."""
    model = next(model for model in fill(home) if model.id == "tuned")
    (home / str(model.artifact) / "adapter_config.json").write_text("[]")

    with pytest.raises(DataLoss, match=r"adapter_config\.json"):
        to_team(home, shared)

    assert DataFolder(home).database.exists()


def test_an_older_library_moves_too(shared: Shared, home: Path) -> None:
    """The copy is brought up to date; the adapters of this dump are not here, so only its rows count."""
    home.mkdir()
    with closing(sqlite3.connect(home / "tunery.sqlite3")) as connection:
        connection.executescript(RELEASED[0].read_text())
        connection.execute("UPDATE tuning_tasks SET artifact_epoch = NULL")
        connection.commit()

    to_team(home, shared)

    with Library.open(home, shared) as library:
        assert {model.id for model in library.list()} == {"waiting", "tuned"}
    shutil.rmtree(home)


def test_a_backup_of_a_team(shared: Shared, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken while a task runs; deleted and damaged models are treated as in a backup of a folder."""
    models = {model.id: model for model in fill(home)}
    to_team(home, shared)
    gather = moving._gather

    def gather_later(model: TunedModel, there: Library, staged: DataFolder) -> None:
        if model.id == "deleted":
            there.delete("deleted")
        gather(model, there, staged)

    monkeypatch.setattr(moving, "_gather", gather_later)
    with Library.own(tmp_path / "other", shared=shared) as library:
        tuned(library, id="deleted")
        library.heartbeat(claimed(library, id="running"), Phase.RUNNING, Progress(step=2))
        damaged = tuned(library, id="damaged")
        for file in (tmp_path / "store" / str(damaged.artifact)).rglob("1.safetensors"):
            file.write_bytes(b"changed")
        contents = back_up(tmp_path / "other", tmp_path / "team.tar", shared=shared)
        assert library.get("running").task.phase is Phase.RUNNING
    restore(tmp_path / "team.tar", tmp_path / "back")

    assert (contents.tuned_models, contents.adapters, contents.damaged) == (5, 1, ("damaged",))
    with Library.own(tmp_path / "back") as library:
        assert {model.id for model in library.list()} == {"tuned", "waiting", "begun", "running", "damaged"}
        assert models["tuned"] in library.list(with_snapshots=True)
        assert library.adapter_folder(library.get("tuned")).is_dir()
        assert library.get("running").task.phase is Phase.QUEUED
        assert library.get("damaged").task.phase is Phase.FAILED


def test_a_backup_of_a_team_without_a_store(database_url: str, home: Path, tmp_path: Path) -> None:
    """The adapters are in the data folder."""
    fill(home)
    shared = Shared(database_url)
    to_team(home, shared)

    assert back_up(home, tmp_path / "team.tar", shared=shared).adapters == 1
    assert restore(tmp_path / "team.tar", tmp_path / "back").damaged == ()
