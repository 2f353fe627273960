"""
The database: opening it, starting transactions, and upgrading its tables.

By default it is one SQLite file; only the owner of the data folder writes, and every process may read. `postgres.py`
has the other kind.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy.exc
from sqlalchemy import URL, create_engine, delete, event, insert, inspect, select, text, update
from sqlalchemy import Connection as Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from tunery.errors import DataLoss, FailedPrecondition, ResourceExhausted, TuneryError, Unavailable
from tunery.files import sha256_of, sync, write_json
from tunery.service.database.tables import compatibility, tuning_tasks
from tunery.types import Phase

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

BUSY_TIMEOUT_SECONDS = 10
DIGEST_BYTES = 256 << 20  # larger databases are not hashed at each start, because it would take more than 0.2 s

# The WAL-reset bug of SQLite 3.7.0 to 3.51.2 can corrupt a database that is used by two connections
# (sqlite.org/wal.html). Plain commits took 1.6 ms at p99 in WAL mode and 4.2 ms in TRUNCATE mode, which are both fine
# for us.
_FIRST_SAFE_WAL = (3, 51, 3)

_REMEDY = "Move it elsewhere and restore a backup with `tunery restore FILE`; adapters stay where they are."
_DAMAGED = f"{{path}} is damaged or is not a tunery database. {_REMEDY}"


class Database:
    """
    An open database file. `is_writer` is for the one process that owns the data folder.

    A writer has a single connection, so its threads take turns; a reader cannot write at all. `before_writing` is
    called before each transaction that writes, and raises if this process may no longer.
    """

    is_shared = False  # whether processes other than the owner of the data folder write

    def __init__(self, path: Path, *, is_writer: bool) -> None:
        self.path = path
        self.name = str(path)  # for messages
        self.before_writing: Callable[[], object] = lambda: None
        self.changes = 0  # write transactions of this process so far
        if is_writer and not path.exists():
            path.touch(mode=0o600)  # SQLite would make it readable for everybody; the journals get the same mode
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)), pool_size=1, max_overflow=0, pool_timeout=BUSY_TIMEOUT_SECONDS
        )

        @event.listens_for(self._engine, "connect")
        def _connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
            _set_up(connection, is_writer)

        @event.listens_for(self._engine, "begin")
        def _begun(connection: Connection) -> None:
            connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    @property
    def exists(self) -> bool:
        """Whether there is a database; opening the file would create an empty one."""
        return self.path.exists()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the database throughout the block."""
        with self.named_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """
        Yield a connection inside a write transaction: committed at the end of the block, rolled back if it raises.

        BEGIN IMMEDIATE takes the write lock first, so a transaction that reads and then writes cannot lose a race
        halfway.
        """
        with self.named_errors(), self._engine.connect() as connection:
            self.before_writing()
            immediate = connection.execution_options(begin="BEGIN IMMEDIATE")
            with immediate.begin():
                yield immediate
            self.changes += 1  # while the connection is still ours

    @contextmanager
    def updating(self) -> Iterator[Connection]:
        """
        Yield a write transaction for statements that decide and write at once; in a shared database, such transactions
        may overlap.
        """
        with self.writing() as connection:
            yield connection

    @contextmanager
    def changing_tables(self) -> Iterator[Connection]:
        """
        Yield a write transaction in which tables may be rebuilt; foreign keys are checked only at its end.

        Many changes need a copy of the table in SQLite. With foreign keys on, dropping the old table would delete every
        row that refers to it (sqlite.org/lang_altertable.html, section 7).
        """
        with self.named_errors(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.execute("PRAGMA foreign_keys = OFF")  # has no effect inside a transaction
            try:
                immediate = connection.execution_options(begin="BEGIN IMMEDIATE")
                with immediate.begin():
                    yield immediate
                    broken = immediate.exec_driver_sql("PRAGMA foreign_key_check").all()
                    assert not broken, f"a migration leaves dangling foreign keys: {broken}"
            finally:
                raw.execute("PRAGMA foreign_keys = ON")

    def older_programs(self, _connection: Connection, _revision: str) -> int:
        """Return how many connections programs before a revision have; the owner of a folder is alone."""
        return 0

    def named_errors(self) -> AbstractContextManager[None]:
        """Within a block, turn database errors into errors that the user can act on."""
        return named_errors(self.path)

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()


def sqlite_version() -> str:
    """Return the version of SQLite that Python is linked with."""
    return sqlite3.sqlite_version


def journal_mode() -> str:
    """Return the journal mode of a writer with the SQLite of this Python."""
    return "WAL" if sqlite3.sqlite_version_info >= _FIRST_SAFE_WAL else "TRUNCATE"


def _set_up(connection: sqlite3.Connection, is_writer: bool) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    connection.create_function("lower", 1, _lower, deterministic=True)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if is_writer:
        connection.execute(f"PRAGMA journal_mode = {journal_mode()}").fetchone()
    else:
        connection.execute("PRAGMA query_only = ON")


def _lower(text: str | None) -> str | None:
    """Replace SQLite's own `lower`, which leaves Ä and Ж unchanged."""
    return None if text is None else text.casefold()


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn SQLite errors into errors that a user of the database at `path` can act on."""
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise Unavailable(f"Too many requests are waiting for {path}. Try again in a moment.") from error
    except (DBAPIError, sqlite3.Error) as error:
        code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
        named = None if code is None else _meaning(code & 0xFF, path)  # the low byte is SQLite's primary code
        if named is None:
            raise
        raise named from error


def _meaning(code: int, path: Path) -> TuneryError | None:
    """Return an error that the user can act on for an error code of SQLite, None if it is a bug of ours."""
    match code:
        case sqlite3.SQLITE_FULL:
            return ResourceExhausted(f"The disk is full: {path} could not grow. Free some space and try again.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(f"Another program has locked {path} for more than {BUSY_TIMEOUT_SECONDS} s. Try again.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return FailedPrecondition(
                f"The data folder {path.parent} cannot be written to. Make it writable or use another TUNERY_HOME."
            )
        case sqlite3.SQLITE_IOERR:
            return Unavailable(f"The disk failed while reading or writing {path}. Check the disk and its free space.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DataLoss(_DAMAGED.format(path=path))
    return None


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that others may be writing to; the copy is consistent."""
    opened = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    with closing(opened) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)


def _copy_before_migration(database: Database) -> None:
    """
    Copy a database to `database-before-REVISION.sqlite`, which appears completely or not at all, readable only for its
    user.
    """
    target = database.path.with_name(f"database-before-{REVISION}.sqlite")
    partial = target.with_name(f".{target.name}.partial")
    with database.named_errors():
        try:
            partial.unlink(missing_ok=True)
            partial.touch(mode=0o600)
            copy_database(database.path, partial)
            partial.replace(target)
            sync(target.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def note_digest(path: Path) -> None:
    """Record the sha256 of a database that nobody has open, unless it is larger than DIGEST_BYTES."""
    wal = path.with_name(f"{path.name}-wal")
    status = _status(path)
    if _noted(path).get("status") == status or status[0] > DIGEST_BYTES or (wal.exists() and wal.stat().st_size):
        return
    write_json(_digest_file(path), {"status": status, "sha256": sha256_of(path)})


def forget_digest(path: Path) -> None:
    """Remove the digest that `note_digest` wrote; call this before writing to the database."""
    _digest_file(path).unlink(missing_ok=True)


def require_noted_digest(path: Path) -> None:
    """
    Raise DataLoss if a database has changed since it was closed, although it has the same time and size.

    A flipped bit changes neither, and SQLite notices it only if it breaks SQLite's own structures. If the database was
    replaced by another one, that is accepted.
    """
    known = _noted(path)
    if not known or known.get("status") != _status(path) or known.get("sha256") == sha256_of(path):
        return
    if _digest_file(path).exists():  # otherwise its owner has started to write in the meantime
        raise DataLoss(
            f"{path} is damaged: its bytes changed on the disk. {_REMEDY} To use it as it is, delete"
            f" {_digest_file(path).name}."
        )


def _noted(path: Path) -> dict[str, object]:
    """
    Return the recorded digest; nothing if the last owner was killed or is still running, or if the record itself is
    damaged.
    """
    try:
        known = json.loads(_digest_file(path).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _status(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_database(database: Database) -> None:
    """Raise DataLoss if the file is damaged; PostgreSQL checks its pages itself."""
    if database.is_shared:
        return
    with database.reading() as connection:
        found = connection.scalar(text("PRAGMA integrity_check(1)"))
    if found != "ok":
        reason = str(found).rpartition("***\n")[2].replace("\n", "; ")
        raise DataLoss(f"{database.name} is damaged ({reason}). {_REMEDY}")


def queue_unfinished(connection: Connection) -> None:
    """Put unfinished tasks back into the queue, to be resumed from their checkpoints by any worker."""
    unfinished = tuning_tasks.c.phase.not_in([phase for phase in Phase if phase.is_final])
    freed = {"phase": Phase.QUEUED, "worker": None, "lease_until": None, "not_before": None}
    connection.execute(update(tuning_tasks).where(unfinished).values(freed))


def begin_unfinished_again(connection: Connection) -> None:
    """Let unfinished tasks start at their first step, because a backup has no checkpoints."""
    unfinished = tuning_tasks.c.phase.not_in([phase for phase in Phase if phase.is_final])
    afresh = {"checkpoint_step": 0, "completed_steps": 0, "snapshots": b"", "epoch_losses": None}
    connection.execute(update(tuning_tasks).where(unfinished).values(afresh))
    queue_unfinished(connection)


REVISION = "0014"  # the newest one in migrations/versions; revisions count upwards

_MIGRATIONS = Path(__file__).parent.parent / "migrations"


def is_current_schema(database: Database) -> bool:
    """
    Return whether the tables are those of this version of tunery; False if there are none yet.

    Raises FailedPrecondition if a newer tunery made them.
    """
    found = revision(database)
    if not _is_known(found):
        raise FailedPrecondition(
            f"The database {database.name} was made by a newer tunery (revision {found}; this one supports up to "
            f"{REVISION}). Install the newer tunery, or restore a backup into another TUNERY_HOME."
        )
    return found == REVISION


def is_newer_schema(database: Database) -> bool:
    """Return whether a newer tunery made the tables."""
    return not _is_known(revision(database))


def lets_this_version_work(database: Database) -> bool:
    """Return whether the tables, which a newer tunery made, are such that this version can work on them too."""
    with database.reading() as connection:
        if not inspect(connection).has_table(compatibility.name):
            return False
        oldest = connection.scalar(select(compatibility.c.oldest_program))
        return oldest is not None and _is_known(oldest)


def _is_known(found: str | None) -> bool:
    """Return whether a revision is this version's or an earlier one; None is that of a database without tables."""
    return found is None or (len(found) == len(REVISION) and found.isdecimal() and found <= REVISION)


def revision(database: Database) -> str | None:
    """Return the revision of the tables, None if there are none; raise DataLoss if they are not tunery's."""
    if not database.exists:
        return None
    with database.reading() as connection:
        tables = inspect(connection).get_table_names()
        found: str | None = None
        if "alembic_version" in tables:
            found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if tables and found is None and database.is_shared:
        raise FailedPrecondition(f"The database {database.name} has tables of another program. Make one of its own.")
    if tables and found is None:
        raise DataLoss(_DAMAGED.format(path=database.path))
    return found


def upgrade(database: Database, to: str = "head") -> None:
    """
    Apply all missing migrations in one transaction, so that a process killed in between leaves the tables as they were.

    A file with tables is copied first. Raises FailedPrecondition while an earlier tunery, which could not work on the
    new tables, is connected to the database.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    found = revision(database)
    if not database.is_shared and found is not None:
        _copy_before_migration(database)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    oldest_program = _oldest_program(ScriptDirectory.from_config(config), to)
    try:
        with database.changing_tables() as connection:
            if found is not None:
                _require_no_older_programs(database, connection, oldest_program)
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            if inspect(connection).has_table(compatibility.name):
                connection.execute(delete(compatibility))
                connection.execute(insert(compatibility).values(oldest_program=oldest_program))
    except DBAPIError as error:  # left over by `named_errors`: the tables do not match their revision
        raise DataLoss(f"{database.name} could not be brought up to date ({error.orig}). {_REMEDY}") from error


def _oldest_program(steps: ScriptDirectory, to: str) -> str:
    """
    Return the revision of the oldest program that can work on the tables of a revision.

    Each step names it as `oldest_program`; where it does not, only programs that know the step can.
    """
    return max(getattr(step.module, "oldest_program", step.revision) for step in steps.walk_revisions("base", to))


def _require_no_older_programs(database: Database, connection: Connection, oldest_program: str) -> None:
    if number := database.older_programs(connection, oldest_program):
        raise FailedPrecondition(
            f"The tables of the database {database.name} have to change in a way that earlier versions of tunery cannot"
            f" work with, and such versions are connected to it ({number} connections). Stop their servers and workers,"
            " then start this one again."
        )
