"""Versions of the tables: from every released one to the newest, and what the newest is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from tests.service.samples import EXAMPLES
from tunery.errors import DataLoss, FailedPrecondition, ResourceExhausted
from tunery.service.database import connection as schema
from tunery.service.database import tables
from tunery.service.database.connection import Database
from tunery.service.database.tables import metadata
from tunery.service.library import Library
from tunery.types import State

RELEASED = sorted((Path(__file__).parent / "released").glob("*.sql"))  # dumps of small libraries, one a revision
STEPS = ScriptDirectory(str(Path(schema.__file__).parent.parent / "migrations"))
BESIDE = [step for step in STEPS.walk_revisions() if hasattr(step.module, "oldest_program")]


def _tables(url: str) -> dict[str, Any]:
    """Return all that SQLite says of the tables."""
    engine = create_engine(url)
    inspector = inspect(engine)
    facts = {
        table: {
            "columns": [column | {"type": str(column["type"])} for column in inspector.get_columns(table)],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": inspector.get_foreign_keys(table),
            "unique": _sorted(inspector.get_unique_constraints(table)),
            "checks": _sorted(inspector.get_check_constraints(table)),
            "indexes": _sorted(inspector.get_indexes(table)),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }
    engine.dispose()
    return facts


def _run(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)


def _sorted(facts: list[Any]) -> list[Any]:
    return sorted(facts, key=lambda fact: str(fact["name"]))


def test_the_steps_lead_to_the_tables_that_the_program_knows(tmp_path: Path) -> None:
    """Columns, types, defaults, keys, checks and indexes are the same by migration and by metadata."""
    migrated = Database(tmp_path / "migrated.sqlite3", is_writer=True)
    schema.upgrade(migrated)
    migrated.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'direct.sqlite3'}")
    assert tables.users.metadata is metadata
    metadata.create_all(engine)
    engine.dispose()

    assert _tables(f"sqlite:///{tmp_path / 'migrated.sqlite3'}") == _tables(f"sqlite:///{tmp_path / 'direct.sqlite3'}")


def test_the_newest_step_is_the_one_the_program_asks_for() -> None:
    """The revision in `schema.py` is the head of the steps, and there is a dump of every earlier one and of itself."""
    assert STEPS.get_current_head() == schema.REVISION
    assert [dump.stem for dump in RELEASED] == sorted(step.revision for step in STEPS.walk_revisions())


@pytest.mark.parametrize("dump", RELEASED, ids=lambda dump: dump.stem)
def test_a_library_of_every_released_version_opens(dump: Path, home: Path) -> None:
    """A data folder that an earlier version made is brought up to date with all that it holds."""
    home.mkdir()
    _run(home / "tunery.sqlite3", dump.read_text())

    with Library.open(home) as library:
        models = library.list(with_snapshots=True)

        assert [(model.id, model.state) for model in models] == [("waiting", State.CREATING), ("tuned", State.ACTIVE)]
        assert len(models[1].task.snapshots) == 19
        assert library.examples(models[0])[0] == EXAMPLES


@pytest.mark.parametrize("revision", ["9999", "00051", "abcdef012345"])
@pytest.mark.parametrize("door", [Library.open, Library.own])
def test_a_library_of_a_newer_version_is_left_alone(
    home: Path, door: Callable[[Path], AbstractContextManager[Library]], revision: str
) -> None:
    """A revision that this version does not know gives one sentence with file, revision and what to do."""
    with Library.own(home):
        pass
    path = home / "tunery.sqlite3"
    _run(path, f"UPDATE alembic_version SET version_num = '{revision}'")
    before = path.read_bytes()

    with pytest.raises(FailedPrecondition) as refused, door(home):
        pass

    for part in (f"The database {path} was made by a newer tunery", f"revision {revision};", "Install", "backup"):
        assert part in str(refused.value)
    assert refused.value.exit_status == 19
    assert path.read_bytes() == before


def _takes_away(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what a program that knows only the tables of before would miss in those of after, or stumble over."""
    found = [f"{table} is gone" for table in before.keys() - after.keys()]
    for table in before.keys() & after.keys():
        old, new = ({column["name"]: column for column in facts[table]["columns"]} for facts in (before, after))
        found += [f"{table}.{name} is not what it was" for name in old if new.get(name) != old[name]]
        for name in new.keys() - old.keys():
            if not new[name]["nullable"] and new[name]["default"] is None:
                found.append(f"{table}.{name} has to be given")
        for rule in ("primary key", "foreign keys", "unique", "checks"):
            if before[table][rule] != after[table][rule]:
                found.append(f"{table} has other rules ({rule})")
        unique = [{index["name"] for index in facts[table]["indexes"] if index["unique"]} for facts in (before, after)]
        found += [f"{table}: {name} refuses rows" for name in unique[1] - unique[0]]
    return found


@pytest.mark.parametrize("step", BESIDE, ids=lambda step: str(step.revision))
def test_a_step_beside_which_earlier_programs_work_only_adds(step: Any, tmp_path: Path) -> None:
    """Every table, column and rule that an earlier program knows stays as it is, and it need not fill the new ones."""
    assert step.module.oldest_program < step.revision
    facts = []
    for revision in (step.module.oldest_program, step.revision):
        database = Database(tmp_path / f"{revision}.sqlite3", is_writer=True)
        schema.upgrade(database, revision)
        database.close()
        facts.append(_tables(f"sqlite:///{tmp_path / f'{revision}.sqlite3'}"))

    assert _takes_away(*facts) == []


def test_steps_from_0012_on_say_which_programs_may_work_beside_them() -> None:
    """A new step either names the oldest program, or is listed here because all servers have to stop for it."""
    all_stop: set[str] = set()
    unsaid = {step.revision for step in STEPS.walk_revisions() if step.revision >= "0012" and step not in BESIDE}

    assert unsaid == all_stop


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE prompts", "prompts is gone"),
        ("ALTER TABLE prompts DROP COLUMN display_name", "prompts.display_name is not what it was"),
        ("ALTER TABLE prompts RENAME COLUMN document TO content", "prompts.document is not what it was"),
        (
            "DROP TABLE compatibility; CREATE TABLE compatibility (oldest_program TEXT NOT NULL, more TEXT NOT NULL,"
            " CONSTRAINT pk_compatibility PRIMARY KEY (oldest_program))",
            "compatibility.more has to be given",
        ),
        ("CREATE UNIQUE INDEX one_name ON prompts (display_name)", "prompts: one_name refuses rows"),
        ("ALTER TABLE prompts ADD COLUMN size INTEGER CHECK (size > 0)", "prompts has other rules (checks)"),
        ("ALTER TABLE prompts ADD COLUMN size INTEGER NOT NULL DEFAULT 0", None),
        ("CREATE TABLE labels (name TEXT)", None),
    ],
)
def test_what_an_earlier_program_would_stumble_over_is_found(tmp_path: Path, change: str, said: str | None) -> None:
    """The comparison that the steps have to pass finds what they must not do."""
    path = tmp_path / "test.sqlite3"
    _run(path, RELEASED[-1].read_text())
    before = _tables(f"sqlite:///{path}")
    _run(path, change)

    found = _takes_away(before, _tables(f"sqlite:///{path}"))

    assert (said in found) if said else (found == [])


@pytest.mark.parametrize("dump", RELEASED[:-1], ids=lambda dump: dump.stem)
def test_a_database_is_copied_before_its_tables_change(dump: Path, home: Path) -> None:
    """The copy beside it holds the rows in the old tables, for its user only; opening again makes no other."""
    home.mkdir()
    _run(home / "tunery.sqlite3", dump.read_text())

    for _ in range(2):
        with Library.own(home):
            pass

    copy = home / f"database-before-{schema.REVISION}.sqlite"
    assert list(home.glob("*database-before*")) == [copy]
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (dump.stem,)
        assert connection.execute("SELECT count(*) FROM tuned_models").fetchone() == (2,)


def test_a_database_without_changes_is_not_copied(home: Path) -> None:
    """Neither for a new data folder nor for one that is up to date."""
    for _ in range(2):
        with Library.own(home):
            pass

    assert not list(home.glob("*database-before*"))


def test_nothing_is_changed_when_the_copy_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the tables stay as they are, and no half copy is left."""
    home.mkdir()
    _run(home / "tunery.sqlite3", RELEASED[0].read_text())

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(schema, "copy_database", full)
    with pytest.raises(ResourceExhausted, match="The disk is full"), Library.own(home):
        pass

    assert not list(home.glob("*database-before*"))
    with closing(sqlite3.connect(home / "tunery.sqlite3")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


def test_an_upgrade_that_fails_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    """All steps are one transaction: after an error in the last one there is no table of the others."""
    path = tmp_path / "test.sqlite3"
    database = Database(path, is_writer=True)
    schema.upgrade(database, "0002")
    with database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE tuned_models ADD COLUMN examples_shared INTEGER")  # of the last step
    before = list(_tables(f"sqlite:///{path}"))

    with pytest.raises(DataLoss, match=r"could not be brought up to date \(duplicate column name: examples_shared\)"):
        schema.upgrade(database)
    database.close()

    assert list(_tables(f"sqlite:///{path}")) == before


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    """A database with tables and no revision is not tunery's: nothing is created in it."""
    path = tmp_path / "test.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    database = Database(path, is_writer=True)

    with pytest.raises(DataLoss, match="is not a tunery database"):
        schema.upgrade(database)
    database.close()

    assert list(_tables(f"sqlite:///{path}")) == ["notes"]
