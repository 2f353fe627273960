"""
The data folder: its layout, the lock that lets only one process at a time own it, and the files set aside in it.

Reading needs no lock. The operating system releases the lock of a process that dies; the text in the lock file only
names the holder. Files that the database does not know are set aside for a week, because it may be the wrong database.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tunery.errors import DataLoss, FailedPrecondition, FolderLocked, NotFound, Unavailable
from tunery.files import publish, sync
from tunery.service.tuning import Published, check_task_id
from tunery.types import TuningTask

MIGRATED = "tunery-migrated.sqlite3"  # the database of a folder whose library is elsewhere now
SET_ASIDE_DAYS = 7
EXPORT, RESTORE = "export-", ".restore-"  # prefix of temporary folders in `checkpoints` and in the data folder itself

EPOCHS = "epochs"  # the folder of the kept epochs next to a published adapter
_log = logging.getLogger("tunery.folder")
_EPOCH_NAME = re.compile(r"(?P<model>.+)@epoch-(?P<epoch>[0-9]{1,6})")
_held: set[int] = set()  # descriptors of the locks this process holds


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that owns a data folder; `address` is its address if it is a server."""

    pid: int
    address: str | None = None


class Ownership:
    """
    The ownership of a data folder by this process.

    It lasts as long as the lock file and the other watched files stay in place. `was_killed`: the last owner died
    without releasing it.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.was_killed = os.fstat(lock).st_size > 0
        self._watched = {path: _identity(os.fstat(lock))}

    def watch(self, path: Path) -> None:
        """From now on, also require that this file is not removed or replaced."""
        self._watched[path] = _identity(path.stat())

    def require(self) -> None:
        """Raise Unavailable if another process may own the folder by now, or works on another database."""
        for path, known in self._watched.items():
            try:
                found: tuple[int, int] | None = _identity(path.stat())
            except (FileNotFoundError, NotADirectoryError):
                found = None
            if found != known:
                raise Unavailable(
                    f"{path} was {'replaced' if found else 'removed'} while tunery was using it, perhaps by a program"
                    " that synchronises folders, so nothing more is written. Start tunery again."
                )


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A data folder and the paths in it, which need not exist."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "tunery.sqlite3"

    @property
    def bases(self) -> Path:
        return self.path / "bases"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def set_aside(self) -> Path:
        """
        The folder for files that the database does not know, by the day on which they were found:
        `2026-01-31/models/...`.
        """
        return self.path / "set-aside"

    @property
    def local_token(self) -> Path:
        """The file with which commands on this machine identify themselves to the server that owns the folder."""
        return self.path / "local-token"

    def contents(self) -> dict[str, list[Path]]:
        """Return what tunery keeps here, under a name for people; other files in the folder are not tunery's."""
        kept = {
            "base models": [self.bases],
            "tuned models": [self.models],
            "unfinished tuning jobs": [self.checkpoints],
            "files set aside": [self.set_aside],
            "examples, prompts, reports, accounts": sorted(self.path.glob(f"{self.database.name}*")),
            "locks and leftovers": [self.path / "lock", self.local_token, *self.path.glob(f"{RESTORE}*")],
        }
        there = {name: [path for path in paths if path.exists()] for name, paths in kept.items()}
        return {name: paths for name, paths in there.items() if paths}

    def delete(self) -> None:
        """Delete what tunery keeps here, and the folder if nothing else is in it; raises FolderLocked as `own`."""
        if not self.path.is_dir():
            return
        lock = self.path / "lock"
        with self.own():
            for path in (path for paths in self.contents().values() for path in paths if path != lock):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if os.name != "nt":
                lock.unlink()
        if os.name == "nt":  # where no open file can be removed
            lock.unlink()
        with suppress(OSError):  # something else is in it
            self.path.rmdir()

    def checkpoint(self, task_id: str) -> Path:
        """Return the folder for the checkpoints of a task."""
        check_task_id(task_id)
        return self.checkpoints / task_id

    def witness(self, task_id: str, claim_number: int) -> Path:
        """Return the file that the process of a task leaves when it outlives its server."""
        return self.checkpoint(task_id) / f"outlived-{claim_number}"

    def publish(self, task: TuningTask, write: Callable[[Path], None], *, needed_bytes: int | None = None) -> Published:
        """Publish the adapter of a claimed task; `write` writes its files to the folder that is passed to it."""
        folder = self.models / task.id / str(task.claim_number)
        return Published(folder, task.claim_number, publish(folder, write, needed_bytes=needed_bytes))

    def require_database(self) -> None:
        """
        Raise DataLoss if the database is missing or empty although there are adapters or checkpoints.

        If the library was moved to a shared database, raise FailedPrecondition instead.
        """
        if self.database.exists() and self.database.stat().st_size:
            return
        if (self.path / MIGRATED).exists():
            raise FailedPrecondition(
                f"The library of {self.path} was moved to a shared database. To use it there, set TUNERY_DATABASE_URL,"
                " and TUNERY_STORE_URL if it has a store; with these, `tunery migrate --back` brings it back."
            )
        self.require_no_work()

    def require_no_work(self) -> None:
        """Raise DataLoss if there are adapters or checkpoints, to be called where the database has no tables."""
        found = [*_folders(self.models), *_folders(self.checkpoints)]
        kept = sum(not path.name.startswith(EXPORT) for path in found)
        if kept:
            raise DataLoss(
                f"The database {self.database} is missing or empty, but {self.models} and {self.checkpoints.name} have"
                f" {kept} folders of tuned models, which stay untouched. Put it back, or restore a backup over them"
                " with `tunery restore FILE`; to begin an empty library, move these folders elsewhere."
            )

    def require_no_library(self) -> None:
        """Raise FailedPrecondition if there is a database here, because another one would not know the files."""
        if self.database.exists() and self.database.stat().st_size:
            raise FailedPrecondition(
                f"{self.path} has a library of its own, and TUNERY_DATABASE_URL names another. Move it there with"
                " `tunery migrate`, or use another TUNERY_HOME."
            )

    def remove_temporary(self) -> None:
        """Remove what a killed server left of an export, or a killed command of a restore."""
        for left in (*self.checkpoints.glob(f"{EXPORT}*"), *self.path.glob(f"{RESTORE}*")):
            shutil.rmtree(left, ignore_errors=True)

    def put_aside(self, found: Path) -> None:
        """Move a folder that the database does not know to `set_aside`, where it is kept for SET_ASIDE_DAYS."""
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        for number in itertools.count(1):
            target = self.set_aside / (today if number == 1 else f"{today}-{number}") / found.relative_to(self.path)
            if not target.exists():
                break
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found.rename(target)
        sync(target.parent)
        _log.warning("No tuned model in the database needs %s; it is in %s for %d days.", found, target, SET_ASIDE_DAYS)

    def bring_back(self, wanted: Path) -> None:
        """Move a folder that the database knows back into place, if it is missing and was set aside."""
        if wanted.exists() or not self.set_aside.exists():
            return
        for day in sorted(_folders(self.set_aside), reverse=True):
            found = day / wanted.relative_to(self.path)
            if found.exists():
                wanted.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                found.rename(wanted)
                sync(wanted.parent)
                _log.warning("%s was set aside; it belongs to a tuned model and is back.", wanted)
                return

    def days_aside(self) -> dict[Path, datetime]:
        """Return the folders that were set aside, each with the time from which it may be removed."""
        days = {}
        for folder in _folders(self.set_aside):
            with suppress(ValueError):
                found = datetime.strptime(folder.name[:10], "%Y-%m-%d").replace(tzinfo=UTC)
                days[folder] = found + timedelta(
                    days=SET_ASIDE_DAYS + 1
                )  # it may have been found at any time of that day
        return days

    def remove_expired(self) -> None:
        """Remove what was set aside more than SET_ASIDE_DAYS ago."""
        for folder, until in self.days_aside().items():
            if until <= datetime.now(UTC):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def own(self, address: str | None = None) -> Iterator[Ownership]:
        """
        Own the folder within the block; a missing one is created, readable for its user only.

        `address` is the address of a server. Raises FolderLocked with the holder's process id, FailedPrecondition if
        the folder cannot be written to.
        """
        lock = self._open_lock()
        try:
            if not _try_to_lock(lock):
                raise FolderLocked(self._locked_message())
            _held.add(lock)
            owned = Ownership(self.path / "lock", lock)
            owned.require()  # another process may have removed the file since it was opened
            _rewrite(lock, json.dumps({"pid": os.getpid(), "address": address}))
            try:
                yield owned
            finally:
                _rewrite(lock, "")
        finally:
            _held.discard(lock)
            os.close(lock)  # which unlocks

    def holder(self) -> Holder | None:
        """Return who holds the folder according to its lock file; reliable only after a FolderLocked."""
        try:
            with (self.path / "lock").open("rb") as file:
                file.seek(1)  # the first byte is locked, and on Windows a locked byte cannot be read
                entry = json.loads(b"{" + file.read())
            return Holder(entry["pid"], entry["address"])
        except (OSError, ValueError):  # no lock file, or its holder has not written to it yet
            return None

    def server(self) -> Holder | None:
        """Return the server that holds the folder at this moment, or None."""
        holder = self.holder()
        if holder is None or holder.address is None:
            return None
        return holder if self.is_held() else None  # a killed server leaves its address behind

    def is_held(self) -> bool:
        """
        Return whether a process owns the folder at this moment; True if the lock file cannot be opened to find out.

        Not for every call, since it takes the lock for a moment.
        """
        try:
            lock = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            return not _try_to_lock(lock)
        finally:
            os.close(lock)

    def _open_lock(self) -> int:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _tighten(self.path, 0o700)
            if self.database.exists():
                _tighten(self.database, 0o600)
            for place in (self.bases, self.models, self.checkpoints):
                place.mkdir(mode=0o700, exist_ok=True)
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FailedPrecondition(
                f"The data folder {self.path} cannot be written to ({error.strerror}). "
                "Make it writable or use another TUNERY_HOME."
            ) from error

    def _locked_message(self) -> str:
        holder = self.holder()
        who = f"Process {holder.pid}" if holder else "Another process"
        where = f" and answers at {holder.address}" if holder and holder.address else ""
        return f"{who} is using the data folder {self.path}{where}; wait for it or use another TUNERY_HOME."


def split_epoch(name: str) -> tuple[str, int | None]:
    """Return the model's name and the epoch: `x@epoch-3` names epoch 3 of `x`, plain `x` the chosen one (None)."""
    found = _EPOCH_NAME.fullmatch(name)
    return (found["model"], int(found["epoch"])) if found else (name, None)


def kept_epochs(published: Path) -> list[int]:
    """Return the epochs kept with a published adapter, in order."""
    folder = published / EPOCHS
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def epoch_folder(published: Path, epoch: int | None) -> Path:
    """Return the adapter folder of an epoch; raise NotFound with the kept epochs."""
    if epoch is None:
        return published
    kept = kept_epochs(published)
    if epoch not in kept:
        which = ", ".join(map(str, kept)) or "none"
        raise NotFound(f"Epoch {epoch} of this tuned model was not kept. Kept epochs: {which}.")
    return published / EPOCHS / str(epoch)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _tighten(path: Path, mode: int) -> None:
    """
    Remove all permissions of other users, because the data folder contains examples and hashes of passwords and tokens.
    """
    found = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and found & 0o077:
        path.chmod(mode)
        _log.warning("%s was accessible to other users (mode %o); it no longer is (mode %o).", path, found, mode)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _try_to_lock(lock: int) -> bool:
    from filelock import lock_descriptor

    return lock_descriptor(lock, blocking=False)


def _rewrite(lock: int, text: str) -> None:
    os.ftruncate(lock, 0)
    os.lseek(lock, 0, os.SEEK_SET)
    os.write(lock, text.encode())


def _let_go_in_child() -> None:
    """Close the locks in a forked child, which would otherwise keep the folder locked after its parent's death."""
    for lock in _held:
        os.close(lock)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
