"""
Moving a library between one machine and a team: SQLite and folder to PostgreSQL and store, and back; and a copy of a
team's library for a backup.

Files are copied first and rows in one transaction, so a process killed in between leaves the target as it was, and the
same command can simply be run again. What is there already is compared, not copied. The source is never changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunery.config import Shared
from tunery.errors import AlreadyExists, DataLoss, FailedPrecondition, FolderLocked, NotFound
from tunery.files import open_published, sync, temporary_folder
from tunery.service.database import connection as schema
from tunery.service.database import models, tasks
from tunery.service.database.connection import Database
from tunery.service.database.postgres import Copied, copy_rows, up_to_date
from tunery.service.folder import MIGRATED, DataFolder
from tunery.service.library import Library
from tunery.service.store import Store
from tunery.types import Phase, TunedModel


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied; `is_final` unless a server still worked on the folder, so that it has to be run again."""

    tables: tuple[Copied, ...]
    adapters: int
    is_final: bool


def to_team(data_folder: Path, shared: Shared) -> Moved:
    """
    Copy the library of a data folder to a PostgreSQL database, and its adapters and checkpoints to a store if named.

    A server may go on working on the folder: then this is a rehearsal. Otherwise the folder's database is renamed to
    MIGRATED, so that servers with the new settings can use the folder. Raises NotFound if there is no library,
    DataLoss if something of it is damaged, FailedPrecondition if the target is in use.
    """
    assert shared.database_url is not None
    folder = DataFolder(data_folder)
    if not folder.database.exists():
        raise NotFound(f"There is no library in {data_folder}.")
    with ExitStack() as stack:
        is_final = _owns(stack, folder)
        source = stack.enter_context(_snapshot(folder))
        with source.writing() as connection:  # of the copy
            schema.queue_unfinished(connection)
        store = None if shared.store_url is None else Store(shared.store_url)
        adapters = _put_files(Library(folder, source), store)
        target = stack.enter_context(closing(up_to_date(shared.database_url)))
        with source.reading() as reading, target.writing() as writing:
            tables = copy_rows(reading, writing)
        if is_final:
            schema.forget_digest(folder.database)
            folder.database.rename(folder.path / MIGRATED)
            sync(folder.path)
    return Moved(tuple(tables), adapters, is_final)


def from_team(data_folder: Path, shared: Shared) -> Moved:
    """
    Copy the library of a PostgreSQL database, and its adapters in a store if named, to a data folder without one.

    Raises AlreadyExists if the folder has a library, FolderLocked if a server uses it, FailedPrecondition while
    workers tune.
    """
    assert shared.database_url is not None
    folder = DataFolder(data_folder)
    with folder.own(), closing(up_to_date(shared.database_url)) as source:
        if folder.database.exists() and folder.database.stat().st_size:
            raise AlreadyExists(f"{data_folder} already has tuned models. Use another TUNERY_HOME.")
        store = None if shared.store_url is None else Store(shared.store_url)
        library = Library(folder, source, store)
        adapters = _fetch_files(library)
        with temporary_folder(".migrate-", data_folder) as work:
            with closing(Database(work / folder.database.name, is_writer=True)) as target:
                schema.upgrade(target)
                with source.reading() as reading, target.writing() as writing:
                    if running := tasks.running(reading):
                        raise FailedPrecondition(
                            f"{len(running)} tuning jobs are running. Stop all servers and workers first."
                        )
                    tables = copy_rows(reading, writing)
            (work / folder.database.name).replace(folder.database)
        sync(folder.path)
    return Moved(tuple(tables), adapters, is_final=True)


@contextmanager
def gathered(data_folder: Path, shared: Shared, place: Path) -> Iterator[Path]:
    """
    Yield a temporary data folder in `place` with the library of a team, while servers and workers go on.

    Rows are of one moment, adapters come after them; models deleted in between are left out. A damaged adapter is
    missing, so that whoever reads the folder names it. Bases are those of `data_folder`.
    """
    assert shared.database_url is not None
    folder, store = DataFolder(data_folder), None if shared.store_url is None else Store(shared.store_url)
    with temporary_folder(".gathered-", place) as work, closing(up_to_date(shared.database_url)) as source:
        staged = DataFolder(work)
        with closing(Database(staged.database, is_writer=True)) as target:
            schema.upgrade(target)
            with source.reading() as reading, target.writing() as writing:
                copy_rows(reading, writing)
            there = Library(folder, source, store)
            for model in Library(staged, target).list():
                try:
                    _gather(model, there, staged)
                except DataLoss:
                    if _is_gone(there, model):
                        with target.writing() as writing:
                            models.remove_model(writing, model.id)
        if folder.bases.exists():
            staged.bases.symlink_to(folder.bases.resolve(), target_is_directory=True)
        yield work


def _gather(model: TunedModel, there: Library, staged: DataFolder) -> None:
    if model.artifact is None or model.manifest_sha256 is None:
        return
    place = staged.path / model.artifact
    if there.store is not None:
        there.store.fetch_folder(model.artifact, place, model.manifest_sha256)
    else:
        shutil.copytree(open_published(there.folder.path / model.artifact, model.manifest_sha256), place)


def _is_gone(there: Library, model: TunedModel) -> bool:
    try:
        return there.find(model.id).artifact != model.artifact
    except NotFound:
        return True


def _owns(stack: ExitStack, folder: DataFolder) -> bool:
    try:
        stack.enter_context(folder.own())
    except FolderLocked:
        return False
    return True


@contextmanager
def _snapshot(folder: DataFolder) -> Iterator[Database]:
    """Yield a copy of a folder's database in one state, with the tables of this version."""
    with temporary_folder(".migrate-", folder.path) as work:
        copied = work / folder.database.name
        with schema.named_errors(folder.database):
            schema.copy_database(folder.database, copied)
        with closing(Database(copied, is_writer=True)) as database:
            schema.check_database(database)
            if not schema.is_current_schema(database):
                schema.upgrade(database)
            yield database


def _put_files(library: Library, store: Store | None) -> int:
    """Check the adapters of a library, copy them and the checkpoints to a store, and return how many adapters."""
    adapters = 0
    for model in library.list():
        task = model.task
        if model.artifact is not None and model.manifest_sha256 is not None:
            published = open_published(library.folder.path / model.artifact, model.manifest_sha256)
            adapters += 1
            if store is not None:
                store.put_folder(model.artifact, published)
        if store is not None and task.phase is Phase.QUEUED and task.checkpoint_step:
            store.put_checkpoint(task, library.folder.checkpoint(task.id))
    return adapters


def _fetch_files(library: Library) -> int:
    """Have the adapters and checkpoints of a library in its data folder; return how many adapters."""
    adapters = 0
    for model in library.list():
        if model.artifact is not None and model.manifest_sha256 is not None:
            place = library.folder.path / model.artifact
            if library.store is not None:
                library.store.fetch_folder(model.artifact, place, model.manifest_sha256)
            if not place.exists():
                raise DataLoss(f"The adapter of {model.id} is not in {library.folder.path}. Set TUNERY_STORE_URL.")
            open_published(place, model.manifest_sha256)
            adapters += 1
        if library.store is not None and model.task.phase is Phase.QUEUED and model.task.checkpoint_step:
            folder = library.folder.checkpoint(model.task.id)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            library.store.fetch_checkpoint(model.task.id, folder)
    return adapters
