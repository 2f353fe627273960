"""Upgrades of the tables from every released revision to the newest."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from tests.service.samples import EXAMPLES
from tunery.errors import FailedPrecondition
from tunery.service.database import connection as schema
from tunery.service.database import tables
from tunery.service.database.connection import Database
from tunery.service.database.tables import metadata
from tunery.service.library import Library
from tunery.types import State

RELEASED = sorted((Path(__file__).parent / "released").glob("*.sql"))  # dumps of small libraries, one a revision


def _tables(url: str) -> dict[str, Any]:
    """Return everything SQLite knows about the tables."""
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


def _sorted(facts: list[Any]) -> list[Any]:
    return sorted(facts, key=lambda fact: str(fact["name"]))


def test_the_migrations_lead_to_the_declared_tables(tmp_path: Path) -> None:
    """Columns, types, defaults, keys, checks and indexes are the same by migration and by metadata."""
    migrated = Database(tmp_path / "migrated.sqlite3", is_writer=True)
    schema.upgrade(migrated)
    migrated.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'direct.sqlite3'}")
    assert tables.users.metadata is metadata
    metadata.create_all(engine)
    engine.dispose()

    assert _tables(f"sqlite:///{tmp_path / 'migrated.sqlite3'}") == _tables(f"sqlite:///{tmp_path / 'direct.sqlite3'}")


def test_the_newest_migration_is_the_expected_revision() -> None:
    """`REVISION` is the head of the migrations, and there is a dump of every released revision."""
    steps = ScriptDirectory(str(Path(schema.__file__).parent.parent / "migrations"))

    assert steps.get_current_head() == schema.REVISION
    assert [dump.stem for dump in RELEASED] == sorted(step.revision for step in steps.walk_revisions())


@pytest.mark.parametrize("dump", RELEASED, ids=lambda dump: dump.stem)
def test_a_library_of_every_released_version_opens(dump: Path, home: Path) -> None:
    """A data folder of an earlier version is upgraded with everything in it."""
    home.mkdir()
    connection = sqlite3.connect(home / "tunery.sqlite3")
    connection.executescript(dump.read_text())
    connection.close()

    with Library.open(home) as library:
        models = library.list(with_snapshots=True)

        assert [(model.id, model.state) for model in models] == [("waiting", State.CREATING), ("tuned", State.ACTIVE)]
        assert len(models[1].task.snapshots) == 19
        assert library.examples(models[0])[0] == EXAMPLES


def test_a_library_of_a_newer_version_is_left_alone(library: Library, home: Path) -> None:
    """A data folder of a newer tunery gives an error that says so, for reading and for owning."""
    with library.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    library.database.close()

    with pytest.raises(FailedPrecondition, match="was made by a newer tunery"), Library.open(home):
        pass


def test_an_upgrade_that_fails_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    """All migrations are one transaction: after an error none of their tables exists."""
    path = tmp_path / "test.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE tuning_examples (taken INTEGER)")  # the last table of the first step
    connection.close()
    database = Database(path, is_writer=True)

    with pytest.raises(Exception, match="already exists"):
        schema.upgrade(database)
    database.close()

    assert list(_tables(f"sqlite:///{path}")) == ["tuning_examples"]
