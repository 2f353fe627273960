"""
Which version of the tables a database has, and how it gets to the newest one.

The steps are in `service/migrations/`; Alembic, which takes them, is imported only when there is one to take.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text

from tunery.errors import FailedPrecondition
from tunery.service.database import copies
from tunery.service.database.connection import Database

REVISION = "0005"  # the newest step in migrations/versions; revisions count upwards

_MIGRATIONS = Path(__file__).parent.parent / "migrations"


def is_current(database: Database) -> bool:
    """
    Say whether the tables are those that this version of tunery knows; False also if there are none yet.

    Raises FailedPrecondition if a newer tunery made them.
    """
    found = revision(database)
    if _is_newer(found):
        raise FailedPrecondition(
            f"The database {database.path} was made by a newer tunery (revision {found}, this one knows up to "
            f"{REVISION}): install the newer tunery, or restore a backup into another TUNERY_HOME."
        )
    return found == REVISION


def is_newer(database: Database) -> bool:
    """Return whether a newer tunery made the tables."""
    return _is_newer(revision(database))


def revision(database: Database) -> str | None:
    """Return the revision of the tables, None if there are none."""
    if not database.path.exists():  # opening it would make an empty one
        return None
    with database.reading() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def upgrade(database: Database, to: str = "head") -> None:
    """
    Take every missing step in one transaction: a process killed in between leaves the tables as they were.

    A database that has tables is copied first, to `database-before-REVISION.sqlite` beside it.
    """
    from alembic import command
    from alembic.config import Config

    if revision(database) is not None:
        copies.keep(database, database.path.with_name(f"database-before-{REVISION}.sqlite"))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with database.changing_tables() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def _is_newer(found: str | None) -> bool:
    return found is not None and not (found.isdecimal() and found <= REVISION)
