"""
A PostgreSQL database that several servers and workers share.

This module is not imported, and its driver does not have to be installed, until a URL names such a database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy.exc
from sqlalchemy import Connection, Table, create_engine, delete, event, func, insert, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument, ResourceExhausted, TuneryError, Unavailable
from tunery.service.database import connection as schema
from tunery.service.database.connection import Database
from tunery.service.database.tables import audit_events, metadata, tuned_models, tuning_tasks, users
from tunery.service.tuning import LOCAL_USER

WAIT_SECONDS = 10  # for a connection, a lock, or a transaction whose program has stopped in the middle
CONNECTIONS = 8  # of one process; each is used for one transaction, never while a client is waiting

ROWS_AT_ONCE = 500  # of a copy

_DRIVER = "postgresql+psycopg"
_PROGRAM = "tunery "  # followed by the revision, to be seen by other programs
_UNNAMED = "0011"  # the last revision of programs that call themselves "tunery" alone
_SCHEMES = ("postgres", "postgresql", _DRIVER)
_ACTIVITY = sqlalchemy.table("pg_stat_activity", sqlalchemy.column("datname"), sqlalchemy.column("application_name"))
# Keys of advisory locks: arbitrary numbers that other programs on the same database are unlikely to use
_WRITERS, _TABLES = 7_480_163_001, 7_480_163_002
_SETTINGS = {
    "timezone": "UTC",
    "synchronous_commit": "on",  # an acknowledged write survives a crash, whatever the server's default
    "lock_timeout": f"{WAIT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{WAIT_SECONDS}s",  # a frozen process must not keep its locks
}


class PostgresDatabase(Database):
    """An open PostgreSQL database. Any process may write; raises FailedPrecondition for a URL that cannot be used."""

    is_shared = True

    def __init__(self, url: str) -> None:
        self.before_writing = lambda: None
        self.changes = 0  # what others write is not counted: see `models.row_versions`
        try:
            parts = make_url(url)
        except ArgumentError:
            parts = None
        if parts is None or parts.drivername not in _SCHEMES:
            raise FailedPrecondition(
                "TUNERY_DATABASE_URL must look like postgresql://USER:PASSWORD@HOST/DATABASE, and does not."
            )
        host = parts.host or parts.query.get("host", "localhost")
        self.name = f"{parts.database or parts.username} at {host}"  # without the password
        try:
            self._engine = create_engine(
                parts.set(drivername=_DRIVER),
                pool_size=CONNECTIONS,
                max_overflow=0,
                pool_timeout=WAIT_SECONDS,
                pool_pre_ping=True,  # the database may have been restarted since the last use
                connect_args={
                    "application_name": f"{_PROGRAM}{schema.REVISION}",
                    "connect_timeout": WAIT_SECONDS,
                    "keepalives_idle": WAIT_SECONDS,
                    "tcp_user_timeout": WAIT_SECONDS
                    * 1000,  # a broken connection is noticed instead of being waited for
                },
            )
        except ImportError as error:
            raise FailedPrecondition(
                "The driver for PostgreSQL is not installed. Install it with: pip install 'tunery[postgres]'"
            ) from error
        event.listen(self._engine, "connect", _set_up)

    @property
    def exists(self) -> bool:
        return True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self.named_errors(), self._engine.connect() as plain:
            yield plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """
        Yield a connection inside a write transaction; such blocks run one at a time across all processes.

        Many of them read, decide and write, for example those that count a user's tasks before adding one.
        """
        with self.updating() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_WRITERS)))
            yield connection

    @contextmanager
    def updating(self) -> Iterator[Connection]:
        with self.named_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def changing_tables(self) -> Iterator[Connection]:
        """
        Yield a write transaction in which tables may be changed; another process that wants to do the same waits until
        it ends.
        """
        with self.updating() as connection:
            connection.exec_driver_sql(
                "SET LOCAL lock_timeout = 0"
            )  # no time limit, because a large table may take long
            connection.execute(select(func.pg_advisory_xact_lock(_TABLES)))
            yield connection

    def older_programs(self, connection: Connection, revision: str) -> int:
        name = _ACTIVITY.c.application_name
        is_older = name.startswith(_PROGRAM) & (name < f"{_PROGRAM}{revision}")
        if revision > _UNNAMED:
            is_older |= name == _PROGRAM.strip()
        is_here = _ACTIVITY.c.datname == func.current_database()
        return connection.scalar(select(func.count()).select_from(_ACTIVITY).where(is_here, is_older)) or 0

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlalchemy.exc.TimeoutError as error:
            raise Unavailable(f"Too many requests are waiting for {self.name}. Try again in a moment.") from error
        except DBAPIError as error:
            named = _meaning(getattr(error.orig, "sqlstate", None), error, self.name)
            if named is None:
                raise
            raise named from error


def up_to_date(url: str) -> PostgresDatabase:
    """Open a database with the tables of this version of tunery; raises FailedPrecondition for a newer one."""
    database = PostgresDatabase(url)
    try:
        if not schema.is_current_schema(database):
            schema.upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


def usable(url: str) -> PostgresDatabase:
    """
    Open a database as `up_to_date` does, or with tables that a newer tunery has made in a way that this one may work
    on: a team upgrades one machine after another.
    """
    database = PostgresDatabase(url)
    try:
        if schema.is_newer_schema(database) and schema.lets_this_version_work(database):
            return database
    except BaseException:
        database.close()
        raise
    database.close()
    return up_to_date(url)


@dataclass(frozen=True, slots=True)
class Copied:
    """The rows of one table after a copy, the same on both sides."""

    table: str
    rows: int
    sha256: str


def copy_rows(source: Connection, target: Connection) -> list[Copied]:
    """
    Replace all rows of a database by those of another, and compare what arrived, before the caller commits.

    Raises FailedPrecondition if the target has models or users that the source does not have: it is in use.
    """
    _require_not_in_use(source, target)
    in_order = metadata.sorted_tables
    for table in reversed(in_order):
        target.execute(delete(table))
    copied = []
    for table in in_order:
        for rows in source.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)).mappings().partitions():
            target.execute(insert(table), [{c.key: row[c] for c in table.c} for row in rows])
        there, here = _summary(source, table), _summary(target, table)
        if there != here:
            raise DataLoss(f"The table {table.name} did not arrive as it was: {there} became {here}.")
        copied.append(here)
    if target.dialect.name == "postgresql":  # the next ones come after all of these
        for numbered in (tuning_tasks, audit_events):
            newest = target.scalar(select(func.max(numbered.c.number)))
            if newest is not None:
                target.execute(select(func.setval(func.pg_get_serial_sequence(numbered.name, "number"), newest)))
    return copied


def _require_not_in_use(source: Connection, target: Connection) -> None:
    for column in (tuned_models.c.id, users.c.id):
        known = set(source.scalars(select(column)))
        foreign = [name for name in target.scalars(select(column)) if name not in known and name != LOCAL_USER]
        if foreign:
            raise FailedPrecondition(
                f"The database to copy to is in use: it has {foreign[0]!r}, which the other one does not have."
                " Name an empty database."
            )


def _summary(connection: Connection, table: Table) -> Copied:
    """Return number and digest of all rows; the digest does not depend on their order, which databases differ in."""
    number = total = 0
    for row in connection.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)):
        text = json.dumps([_plain(value) for value in row], sort_keys=True)
        total += int.from_bytes(hashlib.sha256(text.encode()).digest())
        number += 1
    return Copied(table.name, number, f"{total % 2**256:064x}")


def _plain(value: Any) -> Any:
    match value:
        case bytes() | memoryview():
            return bytes(value).hex()
        case datetime():
            return value.isoformat()
    return value


def _set_up(connection: Any, _entry: object) -> None:
    """
    Set what our transactions rely on. This is done in the session, since poolers refuse options in the start-up
    message.
    """
    with connection.cursor() as cursor:
        for name, value in _SETTINGS.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
    connection.commit()


def _meaning(state: str | None, error: DBAPIError, name: str) -> TuneryError | None:
    """
    Return an error that the user can act on for an SQLSTATE (PostgreSQL, appendix A), None if it is a bug of ours.
    """
    reason = str(error.orig).strip().splitlines()[-1] if str(error.orig).strip() else "connection lost"
    if state is None and isinstance(error, sqlalchemy.exc.DataError):  # refused by the driver, such as a NUL
        return InvalidArgument(f"A value cannot be used: {reason}.")
    if state is None and (error.connection_invalidated or isinstance(error, sqlalchemy.exc.OperationalError)):
        return Unavailable(f"The database {name} cannot be reached ({reason}). Try again in a moment.")
    match (state or "")[:2]:
        case "08" | "57":  # no connection; the server is stopping or starting, or was ended by its administrator
            return Unavailable(f"The database {name} cannot be reached ({reason}). Try again in a moment.")
        case "53" if state in ("53100", "53200"):
            return ResourceExhausted(f"The database {name} has no more room ({reason}). Free some space and try again.")
        case (
            "53" | "40" | "55"
        ):  # too many connections; ended in favour of another transaction; a lock not obtained in time
            return Unavailable(f"The database {name} is busy ({reason}). Try again in a moment.")
        case "25" if state in ("25P03", "25P04"):
            return Unavailable(f"The database {name} gave up waiting for this program ({reason}). Try again.")
        case "25" | "28" | "3D" | "42" if state in ("25006", "28000", "28P01", "3D000", "42501"):
            return FailedPrecondition(f"The database {name} cannot be used ({reason}). See TUNERY_DATABASE_URL.")
        case "22" if state in ("22003", "22021", "22P05"):  # a number that is too large, NUL, lone surrogates
            return InvalidArgument(f"A value cannot be used: {reason}.")
        case "XX" if state in ("XX001", "XX002"):
            return DataLoss(f"The database {name} is damaged ({reason}). Restore a backup of it.")
    return None
