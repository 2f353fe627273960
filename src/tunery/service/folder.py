"""
The data folder: what lies where in it, and the lock by which one process at a time owns it.

Reading needs no lock. The lock belongs to the operating system, so a holder that dies leaves none behind; the file only
says who holds it. It knows nothing of the database in the folder.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunery.errors import FailedPrecondition, FolderLocked, NotFound
from tunery.types import TuningTask

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# On Windows a locked byte cannot be read by others: lock one far behind the text that names the holder.
_LOCKED_BYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that owns a data folder; `address` is where it answers, if it is a server."""

    pid: int
    address: str | None = None


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A data folder and the places in it; none of them needs to exist."""

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
    def local_token(self) -> Path:
        """The file with which commands on this machine prove themselves to the server that owns the folder."""
        return self.path / "local-token"

    def checkpoint(self, task_id: str) -> Path:
        """Return the folder for the checkpoints of a task."""
        return self.checkpoints / task_id

    def adapter(self, task: TuningTask) -> Path:
        """Return the folder in which a claimed task publishes its adapter."""
        return self.models / task.id / str(task.fencing_epoch)

    @contextmanager
    def own(self, address: str | None = None) -> Iterator[None]:
        """
        Own the folder within the block; it is made if it is not there, readable for its user only.

        Raises FolderLocked with the holder's process id, FailedPrecondition if the folder cannot be written.
        """
        lock = self._open_lock()
        try:
            if not _try_to_lock(lock):
                raise FolderLocked(self._locked_message())
            _HELD.add(lock)
            _rewrite(lock, json.dumps({"pid": os.getpid(), "address": address}))
            yield
            _rewrite(lock, "")
        finally:
            _HELD.discard(lock)
            os.close(lock)  # which unlocks

    def holder(self) -> Holder | None:
        """Return who holds the folder, as its lock file says; only to be believed after a FolderLocked."""
        try:
            entry = json.loads((self.path / "lock").read_text())
            return Holder(entry["pid"], entry["address"])
        except (OSError, ValueError):  # no lock file, or its holder has not written it yet
            return None

    def server(self) -> Holder | None:
        """Return the server that holds the folder at this moment, None if there is none; takes nothing from anybody."""
        holder = self.holder()
        if holder is None or holder.address is None:
            return None
        lock = os.open(self.path / "lock", os.O_RDWR)
        try:
            return None if _try_to_lock(lock) else holder  # a killed server leaves its address behind
        finally:
            os.close(lock)

    def _open_lock(self) -> int:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for place in (self.bases, self.models, self.checkpoints):
                place.mkdir(mode=0o700, exist_ok=True)
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FailedPrecondition(
                f"The data folder {self.path} cannot be written ({error.strerror}). "
                "Make it writable or use another TUNERY_HOME."
            ) from error

    def _locked_message(self) -> str:
        holder = self.holder()
        who = f"Process {holder.pid}" if holder else "Another process"
        where = f" and answers at {holder.address}" if holder and holder.address else ""
        return f"{who} is using the data folder {self.path}{where}; wait for it or use another TUNERY_HOME."


def _try_to_lock(lock: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(lock, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # flock says the one, Windows the other
        return False
    return True


def _rewrite(lock: int, text: str) -> None:
    os.ftruncate(lock, 0)
    os.lseek(lock, 0, os.SEEK_SET)
    os.write(lock, text.encode())


_HELD: set[int] = set()  # descriptors of locks that this process holds


def _let_go_in_child() -> None:
    """A forked child shares its parent's locks: it would keep the folder when the parent is long dead."""
    for lock in _HELD:
        os.close(lock)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


FOLDER = "epochs"
_NAME = re.compile(r"(?P<model>.+)@epoch-(?P<epoch>[0-9]{1,6})")


def split_epoch(name: str) -> tuple[str, int | None]:
    """Return the name of the model and the epoch that is asked for, None for the chosen one."""
    found = _NAME.fullmatch(name)
    return (found["model"], int(found["epoch"])) if found else (name, None)


def kept_epochs(published: Path) -> list[int]:
    """Return the epochs that were kept with a published adapter, the first first."""
    folder = published / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def epoch_folder(published: Path, epoch: int | None) -> Path:
    """Return the adapter folder of an epoch; raises NotFound with the epochs that there are."""
    if epoch is None:
        return published
    there = kept_epochs(published)
    if epoch not in there:
        which = ", ".join(map(str, there)) or "none"
        raise NotFound(f"Epoch {epoch} of this tuned model was not kept. Kept epochs: {which}.")
    return published / FOLDER / str(epoch)
