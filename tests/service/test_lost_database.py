"""A database that is missing, empty, older, newer or damaged never costs an adapter, a checkpoint or an export."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.service.samples import claimed, made_checkpoint, tuned
from tunery.errors import DataLoss, TuneryError
from tunery.service.database import connection
from tunery.service.database.connection import Database
from tunery.service.folder import SET_ASIDE_DAYS, DataFolder
from tunery.service.library import Library
from tunery.service.tuning import Progress
from tunery.types import Phase

Harm = Callable[[Path], object]


def _emptied(database: Path) -> None:
    database.unlink()
    with sqlite3.connect(database) as opened:
        opened.execute("VACUUM")
    opened.close()


def _flipped(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:] = bytes(value ^ 0xFF for value in content[4096:])
    database.write_bytes(content)


def _another_programs(database: Path) -> None:
    database.unlink()
    with sqlite3.connect(database) as opened:
        opened.execute("CREATE TABLE notes (text)")
    opened.close()


def _newer(database: Path) -> None:
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
    opened.close()


MISSING: dict[str, Harm] = {
    "missing": Path.unlink,
    "empty": lambda database: database.write_bytes(b""),
    "without tables": _emptied,
}
HARMS: dict[str, Harm] = MISSING | {
    "of another program": _another_programs,
    "cut": lambda database: database.write_bytes(database.read_bytes()[:5000]),
    "one page": lambda database: database.write_bytes(database.read_bytes()[:4096]),
    "flipped": _flipped,
    "text": lambda database: database.write_bytes(b"no database at all" * 1000),
    "newer": _newer,
}


@pytest.fixture
def kept(home: Path) -> set[str]:
    """Return the files of a library with a tuned model `one` and a checkpoint of the unfinished `two`."""
    with Library.own(home) as library:
        tuned(library, id="one")
        task = claimed(library, id="two")
        (made_checkpoint(library, task) / "checkpoint.safetensors").write_bytes(b"weights")
        library.heartbeat(task, Phase.RUNNING, Progress(step=1, checkpoint_step=1))
        library.release(task)
    return _files(home)


def _files(home: Path) -> set[str]:
    """Return the files of models and checkpoints."""
    found = [path for place in ("models", "checkpoints") for path in (home / place).rglob("*")]
    return {path.relative_to(home).as_posix() for path in found if path.is_file()}


def _days(home: Path) -> list[Path]:
    return sorted(DataFolder(home).days_aside())


@pytest.mark.parametrize("opens", [Library.open, Library.own])
@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_nothing_is_removed_whatever_becomes_of_the_database(
    home: Path, kept: set[str], harm: Harm, opens: Callable[[Path], object]
) -> None:
    """Opening to read and to write refuses, or at least leaves every file where it is, twice in turn."""
    before = {path: path.stat().st_ino for path in home.rglob("*") if path.is_file()}
    harm(home / "tunery.sqlite3")

    for _ in range(2):
        with pytest.raises(TuneryError), opens(home) as library:  # type: ignore[attr-defined]
            library.list()

    assert _files(home) == kept
    for path in (home / "models").rglob("*.safetensors"):
        assert path.stat().st_ino == before[path]


@pytest.mark.parametrize("harm", MISSING.values(), ids=MISSING)
def test_a_missing_database_is_named_with_what_to_do(home: Path, kept: set[str], harm: Harm) -> None:
    """The sentence has the path, what is there without it, and the way back; no new database is made."""
    del kept
    harm(home / "tunery.sqlite3")

    with (
        pytest.raises(DataLoss, match=r"tunery\.sqlite3 is missing or empty.*2 folders.*Put it back.*tunery restore"),
        Library.open(home),
    ):
        pass

    assert harm is not Path.unlink or not (home / "tunery.sqlite3").exists()


def test_reading_never_sweeps(home: Path) -> None:
    """A reader that brings old tables up to date leaves folders that no row names where they are."""
    with Library.own(home):
        pass
    (home / "models" / "unknown" / "1").mkdir(parents=True)
    _with_revision(home, "0006")
    with Library.open(home) as library:
        assert library.list() == ()

    assert (home / "models" / "unknown" / "1").is_dir()


def _with_revision(home: Path, to: str) -> None:
    """Make the tables of an earlier version in the place of today's."""
    (home / "tunery.sqlite3").unlink()
    database = Database(home / "tunery.sqlite3", is_writer=True)
    connection.upgrade(database, to)
    database.close()


def test_an_older_database_sets_newer_models_aside_until_the_right_one_is_back(home: Path) -> None:
    """Owned with a database from before, no file is gone; owned with the right one again, every model answers."""
    database = home / "tunery.sqlite3"
    with Library.own(home) as library:
        tuned(library, id="old")
    older = database.read_bytes()
    with Library.own(home) as library:
        newer = tuned(library, id="new")
        task = claimed(library, id="unfinished")
        (made_checkpoint(library, task) / "checkpoint.safetensors").write_bytes(b"weights")
        library.heartbeat(task, Phase.RUNNING, Progress(step=1, checkpoint_step=1))
        library.release(task)
    before, current = _files(home), database.read_bytes()

    database.write_bytes(older)
    with Library.own(home) as library:
        assert [model.id for model in library.list()] == ["old"]
        (day,) = _days(home)
        aside = {path.relative_to(day).as_posix() for path in day.rglob("*") if path.is_file()}
        assert _files(home) | aside == before
        assert aside
    database.write_bytes(current)

    with Library.own(home) as library:
        assert library.adapter_folder(library.get("new")).parent.name == newer.task.id
        assert library.adapter_folder(library.get("old"))
    assert _files(home) == before


def test_what_was_set_aside_is_removed_after_a_week(home: Path) -> None:
    """Not on the seventh day, but on the ninth; what has another name is never touched."""
    folder, now = DataFolder(home), datetime.now(UTC)
    young, old = (folder.set_aside / f"{now - timedelta(days=days):%Y-%m-%d}" for days in (SET_ASIDE_DAYS, 9))
    for place in (young, old, old.with_name(f"{old.name}-2"), folder.set_aside / "mine"):
        (place / "models").mkdir(parents=True)

    with Library.own(home):
        pass

    assert {path.name for path in folder.set_aside.iterdir()} == {young.name, "mine"}


def test_temporary_folders_of_killed_processes_are_removed(home: Path) -> None:
    """Of exports and restores: they hold copies only, and are neither set aside nor in the way of a new library."""
    for name in ("checkpoints/export-x", ".restore-x/models/y"):
        (home / name).mkdir(parents=True)

    with Library.own(home):
        pass

    assert not (home / "checkpoints" / "export-x").exists()
    assert not (home / ".restore-x").exists()
    assert not (home / "set-aside").exists()


def test_two_things_of_one_name_are_both_kept(home: Path) -> None:
    """A folder set aside twice in a day is there twice."""
    with Library.own(home):
        pass
    for content in ("first", "second"):
        (home / "models" / "unknown" / "1").mkdir(parents=True)
        (home / "models" / "unknown" / "1" / "file").write_text(content)
        with Library.own(home):
            pass

    assert [next(day.rglob("file")).read_text() for day in _days(home)] == ["first", "second"]


def test_a_damaged_database_sets_nothing_aside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the check of the database fails, owning is refused and everything stays."""
    with Library.own(home):
        pass
    (home / "models" / "unknown" / "1").mkdir(parents=True)

    def damaged(_: Database) -> None:
        raise DataLoss("damaged")

    monkeypatch.setattr(connection, "check_database", damaged)
    with pytest.raises(DataLoss), Library.own(home):
        pass

    assert (home / "models" / "unknown" / "1").is_dir()


def test_a_deleted_model_leaves_nothing(home: Path) -> None:
    """Its user deleted it: neither adapter nor checkpoint is kept, nor what an older database set aside of it."""
    with Library.own(home) as library:
        model = tuned(library, id="one")
        aside = library.folder.path / "set-aside" / f"{datetime.now(UTC):%Y-%m-%d}" / "models" / model.task.id
        aside.mkdir(parents=True)

        library.delete("one")
        (library.folder.models / model.task.id / "1").mkdir(parents=True)  # by a worker that had not heard of it
        library.tidy(model.task)

    assert _files(home) == set()
    assert not aside.exists()
    assert not (library.folder.models / model.task.id).exists()


def test_a_bit_that_flips_in_a_closed_database_is_found(home: Path) -> None:
    """In the name of a model, where SQLite sees nothing: neither reading nor owning goes on; nothing is written."""
    with Library.own(home) as library:
        tuned(library, id="one")
        text = library.get("one").display_name.encode()
    database = home / "tunery.sqlite3"
    content, status = database.read_bytes(), database.stat()
    place = content.index(text)
    database.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    os.utime(database, ns=(status.st_atime_ns, status.st_mtime_ns))
    flipped = database.read_bytes()

    for opens in (Library.open, Library.own):
        with (
            pytest.raises(DataLoss, match=r"its bytes changed on the disk.*tunery restore.*sqlite3\.sha256"),
            opens(home),  # type: ignore[attr-defined]
        ):
            pass

    assert database.read_bytes() == flipped


def test_databases_changed_on_purpose_and_owners_that_were_killed_raise_no_alarm(home: Path) -> None:
    """An edited or older database has another time; while an owner writes, and after its death, nothing is noted."""
    note = home / "tunery.sqlite3.sha256"
    with Library.own(home) as library:
        assert not note.exists()
        tuned(library, id="one")
    assert note.exists()
    with Library.own(home) as library:
        library.require_owned()
        assert note.exists()  # nothing was written yet
        library.update("one", description="new")
        assert not note.exists()
        with Library.open(home) as reader:
            assert reader.get("one").description == "new"
    with sqlite3.connect(home / "tunery.sqlite3") as opened:
        opened.execute("UPDATE tuned_models SET description = 'edited'")
    opened.close()

    with Library.own(home) as library:
        assert library.get("one").description == "edited"
    note.write_bytes(b"{")
    with Library.open(home) as library:
        assert library.get("one").description == "edited"
