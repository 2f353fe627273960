"""
Backup of a data folder into one file, and restore: database, published adapters, and records of added bases.

A backup may be taken while a server works on the folder: the database is copied in a consistent state, published
adapters never change, and models deleted in the meantime are left out. Every file is checked when it is saved and when
it is restored.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from tunery import __version__
from tunery.config import ALONE, Shared
from tunery.errors import DISK_FULL, AlreadyExists, DataLoss, FailedPrecondition, NotFound, ResourceExhausted, reason
from tunery.files import all_below, changed_files, disk_errors, open_published, sha256_of, sync, temporary_folder
from tunery.service.database import connection as database_file
from tunery.service.database import models, tasks
from tunery.service.database.connection import Database
from tunery.service.folder import RESTORE, DataFolder
from tunery.service.library import Library
from tunery.service.moving import gathered
from tunery.types import TunedModel

MANIFEST = "backup.json"
FORMAT = 1
_RECORD = "base.json"  # describes an added base; does not contain its weights
_MAX_MANIFEST_BYTES = 256 * 2**20
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup contains; `damaged` names what was left out because a file has changed or is missing."""

    tuned_models: int  # all of them, including those without an adapter
    adapters: int
    bases: int
    bytes: int
    damaged: tuple[str, ...] = ()  # ids of tuned models saved without adapters, names of bases saved without weights


def back_up(data_folder: Path, target: Path, *, with_bases: bool = False, shared: Shared = ALONE) -> Contents:
    """
    Write a backup of a data folder, or of the library that it shares with other machines; `with_bases` adds the weights
    of its bases, except those used in place.

    Damaged files are left out and named; a tuned model is then saved without its adapter. Raises AlreadyExists if
    `target` exists, DataLoss if the database is damaged or missing, NotFound if there is no data folder,
    ResourceExhausted if the
    disk is full, FailedPrecondition if `target` cannot be written or a newer tunery made the data folder.
    """
    target = target.expanduser().absolute()
    if target.exists():
        raise AlreadyExists(f"{target} already exists. Name another file.")
    if shared.database_url is None:
        return _back_up(DataFolder(data_folder), target, with_bases=with_bases)
    with disk_errors(target.parent), gathered(data_folder, shared, target.parent) as copied:
        return _back_up(DataFolder(copied), target, with_bases=with_bases)


def _back_up(folder: DataFolder, target: Path, *, with_bases: bool) -> Contents:
    folder.require_database()
    if not folder.database.exists():
        raise NotFound(f"There is no data folder with tuned models at {folder.path}.")
    with closing(Database(folder.database, is_writer=False)) as database:
        database_file.is_current_schema(database)  # refuses tables of a newer tunery
    try:
        with temporary_folder(f".{target.name}-", target.parent) as work:
            written = work / "backup.tar"
            contents = _write(folder, work, written, with_bases=with_bases)
            sync(written)
            written.replace(target)
        sync(target.parent)
    except OSError as error:
        if error.errno in DISK_FULL:
            message = f"The disk is full: {target} could not be written. Free some space or name a file elsewhere."
            raise ResourceExhausted(message) from error
        raise FailedPrecondition(f"{target} cannot be written ({reason(error)}). Name another file.") from error
    return contents


def restore(archive: Path, data_folder: Path) -> Contents:
    """
    Restore a backup into a data folder after checking each of its files; existing bases are kept.

    Adapters in a folder without a database are kept if they are those of the backup; others are set aside. Raises
    AlreadyExists if the folder has tuned models, DataLoss if the backup is damaged, NotFound, FolderLocked,
    ResourceExhausted if the disk is full, FailedPrecondition if a newer tunery wrote the backup.
    """
    folder = DataFolder(data_folder)
    if not archive.is_file():
        raise NotFound(f"There is no file {str(archive)!r}.")
    with folder.own(), disk_errors(data_folder, archive.stat().st_size):
        if folder.database.exists() and folder.database.stat().st_size:
            raise AlreadyExists(f"{data_folder} already has tuned models. Use another TUNERY_HOME.")
        with temporary_folder(RESTORE, data_folder) as work:
            staged = DataFolder(work)
            files = _unpacked(archive, staged.path)
            contents, digests = _checked(staged, files)
            for artifact, digest in digests.items():
                _put_in_place(folder, staged.path / artifact, artifact, digest)
            for base in _folders_in(staged.bases):
                if not (target := folder.bases / base.name).exists():
                    base.replace(target)
            sync(folder.bases)
            for journal in (
                "-journal",
                "-wal",
                "-shm",
            ):  # left by the previous database; it would be applied to the restored one
                folder.database.with_name(folder.database.name + journal).unlink(missing_ok=True)
            database_file.forget_digest(folder.database)
            staged.database.replace(folder.database)  # from here on, the restored folder is valid
        sync(folder.path)
    with Library.own(data_folder):  # sets aside what the backup does not know
        return contents


def _put_in_place(folder: DataFolder, staged: Path, artifact: str, digest: str) -> None:
    """Move an adapter of a backup to its place, unless the same one is there; another one is set aside."""
    target = folder.path / artifact
    if target.exists():
        try:
            open_published(target, digest)
        except DataLoss:
            folder.put_aside(target)
        else:
            return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged.replace(target)
    sync(target.parent)


def _write(folder: DataFolder, work: Path, target: Path, *, with_bases: bool) -> Contents:
    copied = work / folder.database.name
    with database_file.named_errors(folder.database):
        database_file.copy_database(folder.database, copied)
    copied.chmod(0o600)
    files: dict[str, dict[str, Any]] = {}
    adapters, damaged = 0, []
    with target.open("xb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        target.chmod(0o600)
        with closing(_copy_up_to_date(copied, folder.database)) as database:
            library = Library(folder, database)
            for model in library.list():
                if model.artifact is None:
                    continue
                try:
                    adapters += _add_adapter(tar, files, folder, database, model, work)
                except DataLoss as error:
                    damaged.append(model.id)
                    with database.writing() as connection:
                        tasks.lose_artifact(connection, model.task.id, error.code, f"In this backup: {error}")
            with database.writing() as connection:
                database_file.begin_unfinished_again(connection)
            count = len(library.list())
        bases, damaged_bases = _add_bases(tar, files, folder, with_bases=with_bases)
        _add(tar, files, copied, folder.database.name)
        manifest = {"format": FORMAT, "tunery": __version__, "create_time": datetime.now(UTC).isoformat()}
        _add_text(tar, MANIFEST, json.dumps({**manifest, "files": files}, indent=1))
    size = sum(entry["size"] for entry in files.values())
    return Contents(count, adapters, bases, size, (*damaged, *damaged_bases))


def _copy_up_to_date(copied: Path, source: Path) -> Database:
    """Open a copy of a database with the tables of this version; raises DataLoss that names the source if damaged."""
    database = Database(copied, is_writer=True)
    try:
        database_file.check_database(database)
        if not database_file.is_current_schema(database):
            database_file.upgrade(database)
    except DataLoss as error:
        database.close()
        raise DataLoss(str(error).replace(str(copied), str(source))) from error
    except BaseException:
        database.close()
        raise
    return database


def _add_adapter(
    tar: tarfile.TarFile,
    files: dict[str, dict[str, Any]],
    folder: DataFolder,
    database: Database,
    model: TunedModel,
    work: Path,
) -> bool:
    """
    Add an adapter and return True; if its model was deleted since the copy, delete it in the copy too.

    Raises DataLoss if a file is damaged.
    """
    assert model.artifact is not None
    assert model.manifest_sha256 is not None
    staged = work / "adapter"
    try:
        try:
            _link_all(folder.path / model.artifact, staged)
            open_published(staged, model.manifest_sha256)
        except FileNotFoundError as error:
            raise DataLoss(f"{error.filename} is gone. Tune the model again.") from error
        except DataLoss:  # the message names the file in its place, which is the same one
            open_published(folder.path / model.artifact, model.manifest_sha256)
            raise
        for path in (path for path in all_below(staged) if path.is_file()):
            _add(tar, files, path, f"{model.artifact}/{path.relative_to(staged).as_posix()}")
    except DataLoss:
        if _still_exists(folder, model):
            raise
        with database.writing() as connection:
            models.remove_model(connection, model.id)
        return False
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return True


def _link_all(source: Path, target: Path) -> None:
    """Make hard links to the files of a published folder, which remain if the folder is deleted in the meantime."""
    target.mkdir()
    for path in all_below(source):
        made = target / path.relative_to(source)
        if path.is_dir():
            made.mkdir()
        else:
            _link(path, made)


def _still_exists(folder: DataFolder, model: TunedModel) -> bool:
    with Library.open(folder.path) as library:
        try:
            return library.find(model.id).artifact == model.artifact
        except NotFound:
            return False


def _add_bases(
    tar: tarfile.TarFile, files: dict[str, dict[str, Any]], folder: DataFolder, *, with_bases: bool
) -> tuple[int, list[str]]:
    """Add what is wanted of the bases, and return how many there are, and which ones are without damaged weights."""
    count, damaged = 0, []
    for base in (path for path in _folders_in(folder.bases) if not path.name.startswith(".")):
        is_damaged = with_bases and bool(changed_files(base))
        if is_damaged:
            damaged.append(base.name)
        is_whole = with_bases and not is_damaged
        wanted = [path for path in sorted(base.iterdir()) if path.is_file() and (is_whole or path.name == _RECORD)]
        for path in wanted:
            _add(tar, files, path, f"{folder.bases.name}/{base.name}/{path.name}")
        count += bool(wanted)
    return count, damaged


def _folders_in(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _add(tar: tarfile.TarFile, files: dict[str, dict[str, Any]], path: Path, name: str) -> None:
    size = path.stat().st_size
    files[name] = {"size": size, "sha256": sha256_of(path)}
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(path.stat().st_mtime)
    with path.open("rb") as file:
        tar.addfile(member, file)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o600, int(datetime.now(UTC).timestamp())
    tar.addfile(member, io.BytesIO(data))


def _unpacked(archive: Path, target: Path) -> dict[str, dict[str, Any]]:
    """Unpack the files of a backup, compare each with the manifest, and return their entries."""
    found: dict[str, dict[str, Any]] = {}
    manifest: dict[str, Any] | None = None
    room = archive.stat().st_size  # nothing in a backup is compressed, so this is never exceeded
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                room -= member.size
                if room < 0 or member.issparse():
                    raise DataLoss(
                        f"{archive} is not a tunery backup: {member.name!r} claims to be larger than the backup itself."
                    )
                if member.name == MANIFEST and member.isfile() and member.size <= _MAX_MANIFEST_BYTES:
                    manifest = json.load(_opened(tar, member))
                else:
                    found[member.name] = _unpack(tar, member, target)
    except (tarfile.TarError, ValueError, EOFError, RecursionError, FileExistsError, NotADirectoryError) as error:
        raise DataLoss(f"{archive} is not a tunery backup, or it is damaged ({error}).") from error
    if manifest is None:
        raise DataLoss(f"{archive} is not a complete tunery backup: {MANIFEST}, its last part, is missing.")
    if manifest.get("format") != FORMAT:
        raise FailedPrecondition(f"{archive} was written by a newer tunery ({manifest.get('tunery')}). Update tunery.")
    if manifest.get("files") != found:
        known = manifest.get("files", {})
        wrong = sorted(name for name in found.keys() | known.keys() if found.get(name) != known.get(name))
        raise DataLoss(f"{archive} is damaged: {', '.join(wrong[:3])} differs from what was backed up.")
    return found


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> dict[str, Any]:
    parts = PurePosixPath(member.name).parts
    if not member.isfile() or not parts or any(part in ("..", "/") for part in parts) or "\\" in member.name:
        raise DataLoss(f"The backup has a part {member.name!r}, which no tunery backup contains.")
    path = target.joinpath(*parts)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with _opened(tar, member) as source, path.open("xb") as written:
        path.chmod(0o600)
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            written.write(chunk)
        written.flush()
        os.fsync(written.fileno())
    return {"size": member.size, "sha256": digest.hexdigest()}


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    opened = tar.extractfile(member)
    assert opened is not None
    return opened


def _checked(staged: DataFolder, files: dict[str, dict[str, Any]]) -> tuple[Contents, dict[str, str]]:
    """
    Check the database and the adapters of an unpacked backup, and return its contents.

    Also returns each adapter's folder with the digest of its manifest.
    """
    if not staged.database.is_file():
        raise DataLoss("The backup has no database.")
    with closing(Database(staged.database, is_writer=True)) as database:
        database_file.check_database(database)
        if database_file.is_newer_schema(database):
            raise FailedPrecondition("A newer tunery made this backup. Install the newer tunery and try again.")
        if not database_file.is_current_schema(database):
            database_file.upgrade(database)
        found = Library(staged, database).list()
    adapters = {str(model.artifact): str(model.manifest_sha256) for model in found if model.artifact is not None}
    for artifact, digest in adapters.items():
        open_published(staged.path / artifact, digest)
    bases = len(_folders_in(staged.bases))
    return Contents(len(found), len(adapters), bases, sum(entry["size"] for entry in files.values())), adapters


def _link(source: Path, target: Path) -> None:
    """Make a hard link to a file that never changes, or a copy if the disk does not support links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
