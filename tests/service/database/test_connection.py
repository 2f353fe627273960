"""SQLite's pragmas, transactions, and the errors they become."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from tunery.errors import DataLoss, FailedPrecondition, Unavailable
from tunery.service.database import connection as module
from tunery.service.database.connection import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database with one table of one row."""
    with sqlite3.connect(tmp_path / "test.sqlite3") as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        connection.execute("INSERT INTO numbers VALUES (0)")
    connection.close()
    return tmp_path / "test.sqlite3"


def _pragma(database: Database, name: str) -> object:
    with database.reading() as connection:
        return connection.scalar(text(f"PRAGMA {name}"))


def test_the_pragmas_that_protect_data_are_set(path: Path) -> None:
    """Syncs are full, foreign keys on, no memory map; WAL only where SQLite has it without its reset bug."""
    database = Database(path, is_writer=True)

    assert _pragma(database, "synchronous") == 2
    assert _pragma(database, "foreign_keys") == 1
    assert _pragma(database, "busy_timeout") == 10_000
    assert _pragma(database, "mmap_size") in (0, None)
    assert _pragma(database, "journal_mode") == ("wal" if sqlite3.sqlite_version_info >= (3, 51, 3) else "truncate")
    database.close()


def test_a_write_that_raises_is_rolled_back(path: Path) -> None:
    """An error within a write transaction leaves nothing of it."""
    database = Database(path, is_writer=True)

    def write_and_fail() -> None:
        with database.writing() as connection:
            connection.execute(text("UPDATE numbers SET number = 1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()

    with database.reading() as connection:
        assert connection.scalar(text("SELECT number FROM numbers")) == 0
    database.close()


def test_a_write_takes_the_lock_before_it_reads(path: Path) -> None:
    """Four connections with two threads each that read, add one and write lose no addition and never fail."""
    databases = [Database(path, is_writer=True) for _ in range(4)]

    def add_one(database: Database) -> None:
        for _ in range(10):
            with database.writing() as connection:
                number = connection.scalar(text("SELECT number FROM numbers"))
                connection.execute(text("UPDATE numbers SET number = :number"), {"number": number + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, databases * 2))

    with databases[0].reading() as connection:
        assert connection.scalar(text("SELECT number FROM numbers")) == 80
    for database in databases:
        database.close()


def test_a_reader_refuses_to_write(path: Path) -> None:
    """A write on a database opened for reading raises an error."""
    database = Database(path, is_writer=False)

    with pytest.raises(FailedPrecondition, match="cannot be written to"), database.reading() as connection:
        connection.execute(text("UPDATE numbers SET number = 1"))

    database.close()


def test_a_locked_database_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another program holds for longer than the busy timeout gives Unavailable."""
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    database = Database(path, is_writer=True)

    with pytest.raises(Unavailable, match="locked"), database.writing():
        pass

    other.close()
    database.close()


def test_a_file_that_is_not_a_database_is_damaged(tmp_path: Path) -> None:
    """A file with other content gives DataLoss that names it."""
    (tmp_path / "test.sqlite3").write_bytes(b"not a database at all" * 100)
    database = Database(tmp_path / "test.sqlite3", is_writer=True)

    with pytest.raises(DataLoss, match=r"test\.sqlite3 is damaged"), database.reading() as connection:
        connection.execute(text("SELECT 1 FROM numbers"))

    database.close()
