"""
Whole copies of the database: taken while it is in use, looked over, and made fit to begin anew from.

Knows SQLite's own backup, which sees one state of the file; nothing of where copies go.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, text, update

from tunery.engine.files import sync
from tunery.errors import DataLoss
from tunery.service.database.connection import Database, named_errors
from tunery.service.database.tables import tuning_tasks
from tunery.types import Phase


def copy(source: Path, target: Path) -> None:
    """Copy a database that others may be writing; the copy is one state of it."""
    opened = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    with closing(opened) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)


def keep(database: Database, target: Path) -> None:
    """Copy a database to a file that appears whole or not at all, readable for its user only."""
    partial = target.with_name(f".{target.name}.partial")
    with named_errors(database.path):
        try:
            partial.unlink(missing_ok=True)
            partial.touch(mode=0o600)
            copy(database.path, partial)
            partial.replace(target)
            sync(target.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def check(database: Database) -> None:
    """Raise DataLoss if the file is damaged."""
    with database.reading() as connection:
        found = connection.scalar(text("PRAGMA integrity_check(1)"))
    if found != "ok":
        raise DataLoss(f"{database.path} is damaged ({found}). Restore it from a backup.")


def begin_unfinished_again(connection: Connection) -> None:
    """Let tasks that have not ended begin at their first step: their checkpoints are not where a copy goes."""
    unfinished = tuning_tasks.c.phase.not_in([phase for phase in Phase if phase.is_final])
    connection.execute(
        update(tuning_tasks)
        .where(unfinished)
        .values(phase=Phase.QUEUED, worker=None, checkpoint_step=0, completed_steps=0, snapshots=b"", epoch_losses=None)
    )
