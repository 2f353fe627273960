"""What is PostgreSQL's own: URLs, errors, transactions beside each other, tables made by several processes at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, select, update

from tests.postgres import Postgres
from tests.service.samples import claimed, tuned
from tunery.config import Shared
from tunery.errors import FailedPrecondition, InvalidArgument, Unavailable
from tunery.service.backup import back_up
from tunery.service.database import connection as schema
from tunery.service.database import tasks
from tunery.service.database.postgres import PostgresDatabase
from tunery.service.database.tables import compatibility, tuning_tasks
from tunery.service.library import Fenced, Library
from tunery.service.moving import from_team
from tunery.service.tuning import Loss
from tunery.types import Advice, EpochLoss, Phase


def test_processes_that_meet_in_an_empty_database_make_the_tables_once(postgres: Postgres, tmp_path: Path) -> None:
    """Four libraries opened at the same moment all end up with the tables of this version."""
    url = postgres.url()

    def opened(number: int) -> str | None:
        with Library.own(tmp_path / str(number), shared=Shared(url)) as library:
            return schema.revision(library.database)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, range(4))) == [schema.REVISION] * 4


def _made_by_a_newer_version(url: str, oldest_program: str | None) -> None:
    with closing(PostgresDatabase(url)) as database, database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9998'")
        connection.exec_driver_sql("ALTER TABLE tuned_models ADD COLUMN colour TEXT")
        if oldest_program is None:
            connection.exec_driver_sql("DROP TABLE compatibility")
        else:
            connection.execute(update(compatibility).values(oldest_program=oldest_program))


@pytest.mark.parametrize("oldest_program", ["0001", schema.REVISION])
def test_a_newer_version_may_let_this_one_work(database_url: str, home: Path, oldest_program: str) -> None:
    """While a team upgrades, servers and workers go on, and may be started, on tables that only have more."""
    _made_by_a_newer_version(database_url, oldest_program)

    with Library.own(home, None, Shared(database_url)) as library:
        assert claimed(library).claim_number == 1


@pytest.mark.parametrize("oldest_program", [None, "9998"])
def test_a_newer_version_may_refuse_this_one(database_url: str, home: Path, oldest_program: str | None) -> None:
    _made_by_a_newer_version(database_url, oldest_program)

    with (
        pytest.raises(FailedPrecondition, match="was made by a newer tunery"),
        Library.own(home, None, Shared(database_url)),
    ):
        pass


def test_a_newer_version_that_says_nothing_refuses_this_one(database_url: str, home: Path) -> None:
    """The table without its row, as after a partial restore."""
    _made_by_a_newer_version(database_url, "0001")
    with closing(PostgresDatabase(database_url)) as database, database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM compatibility")

    with (
        pytest.raises(FailedPrecondition, match="was made by a newer tunery"),
        Library.own(home, None, Shared(database_url)),
    ):
        pass


def test_fields_of_a_newer_version_are_left_out(database_url: str, home: Path) -> None:
    """Documents may get more fields while a team upgrades; every list has to read such a row."""
    with Library.own(home, None, Shared(database_url)) as library:
        tuned(library, id="one", user_id="local")
        with library.database.writing() as connection:
            losses = json.dumps([{"epoch": 1, "mean_loss": 2.0, "colour": "red"}])
            advice = json.dumps({"kind": "FEWER", "text": "Fewer epochs.", "colour": "red"})
            given = connection.exec_driver_sql(
                "UPDATE tuning_tasks SET epoch_losses = %s, advice = %s", (losses, advice)
            )
            assert given.rowcount == 1

        task = library.get("one").task

    assert task.epoch_losses == (EpochLoss(1, 2.0),)
    assert task.advice == Advice("FEWER", "Fewer epochs.")


def test_only_the_newest_version_copies_a_library(database_url: str, home: Path) -> None:
    """An earlier one would leave out the columns that it does not know."""
    _made_by_a_newer_version(database_url, schema.REVISION)

    with pytest.raises(FailedPrecondition, match="was made by a newer tunery"):
        from_team(home, Shared(database_url))
    with pytest.raises(FailedPrecondition, match="was made by a newer tunery"):
        back_up(home, home.parent / "library.tar", shared=Shared(database_url))


@pytest.mark.parametrize(
    ("name", "revision", "is_older"),
    [
        ("tunery", "0012", 1),  # as programs up to 0011 are called
        ("tunery", "0011", 0),
        ("tunery 0003", "0012", 1),
        ("tunery 0013", "0014", 1),
        ("tunery 0013", "0013", 0),
        ("tunery 9999", "0014", 0),
        ("psql", "0014", 0),
    ],
)
def test_earlier_versions_are_seen_by_their_connections(
    database_url: str, name: str, revision: str, is_older: int
) -> None:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with closing(PostgresDatabase(database_url)) as database, engine.connect() as other:
        other.exec_driver_sql(f"SET application_name = '{name}'")
        with database.reading() as connection:
            assert database.older_programs(connection, revision) == is_older
    engine.dispose()


@pytest.mark.parametrize("url", ["mysql://u@h/d", "nonsense", "sqlite:///x"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    """The message says what it must look like, and does not repeat it: it may hold a password."""
    with pytest.raises(FailedPrecondition, match="postgresql://"), closing(PostgresDatabase(url)):
        pass


def test_an_error_never_shows_the_password(tmp_path: Path) -> None:
    """A database that cannot be reached is named by its host and name, and the error is one that passes."""
    url = f"postgresql://ann:s3cret@/library?host={tmp_path}"

    with (
        pytest.raises(Unavailable, match="The database library at") as refused,
        Library.own(tmp_path, None, Shared(url)),
    ):
        pass

    assert "s3cret" not in str(refused.value)


def test_a_folder_with_a_library_of_its_own_is_left_alone(database_url: str, home: Path) -> None:
    """Its adapters would look like nobody's to the other database."""
    with Library.own(home):
        pass

    with (
        pytest.raises(FailedPrecondition, match="has a library of its own"),
        Library.own(home, None, Shared(database_url)),
    ):
        pass


def test_a_text_that_cannot_be_used_is_the_callers_fault(database_url: str, home: Path) -> None:
    """PostgreSQL has no NUL in texts, so nothing has such a name."""
    with (
        Library.own(home, None, Shared(database_url)) as library,
        pytest.raises(InvalidArgument, match=r"cannot be used.*NUL"),
    ):
        library.get("a\0b")


def test_a_task_whose_lease_has_ended_is_taken_over_and_its_worker_fenced(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: until then another process leaves it alone. After the loss it waits a little."""
    with (
        Library.own(tmp_path / "one", None, Shared(database_url)) as one,
        Library.own(tmp_path / "two", None, Shared(database_url)) as two,
    ):
        monkeypatch.setattr(tasks, "PAUSE_SECONDS", (0,) * 4)
        task = claimed(one)
        two.take_back_lost_tasks(Loss.ERROR)
        assert two.claim("two") is None

        monkeypatch.setattr(tasks, "LEASE_SECONDS", -1)
        one.renew(task)
        two.take_back_lost_tasks(Loss.ERROR)
        again = two.claim("two")

        assert again is not None
        assert (again.id, again.claim_number) == (task.id, 2)
        with pytest.raises(Fenced):
            one.renew(task)
        with pytest.raises(Fenced):
            one.heartbeat(task, Phase.RUNNING)
        with two.database.reading() as connection:
            assert connection.scalar(select(tuning_tasks.c.losses)) == 1
