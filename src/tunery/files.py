"""
Files and folders that are complete or absent, even after a kill or a power cut.

Everything is written next to its target, flushed to disk and renamed into place. A published folder has a manifest with
the size and sha256 of each file, and is checked against it when it is opened.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tunery.errors import AlreadyExists, DataLoss, FailedPrecondition, Unavailable, reason, system_error

MANIFEST = "manifest.json"
DAMAGE = (errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)  # of a file; other errors pass
_ADVICE = "Restore the data folder from a backup or tune the model again."


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress while fetching a base: `done` out of `total` bytes of one stage."""

    stage: str  # "download", "unpack", "convert" or "check"
    done: int
    total: int | None = None  # None: not known


OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Ignore a progress report."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see either the old or the new content, even after a crash."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}_", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_json(path: Path, value: object) -> None:
    """Write JSON as `write_whole` does."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote; raise DataLoss if it is something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataLoss(f"{path} is not JSON ({error}). Delete it and add or pull the base again.") from error
    if not isinstance(value, dict):
        raise DataLoss(f"{path} does not contain a JSON object. Delete it and add or pull the base again.")
    return value


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    if os.name == "nt" and path.is_dir():  # Windows has no such call for folders; NTFS journals their entries
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(place: Path, needed_bytes: int | None = None) -> Iterator[None]:
    """Raise ResourceExhausted for a full disk, stating `needed_bytes`, and Unavailable for any other OSError."""
    try:
        yield
    except OSError as error:
        raise system_error(error, place, needed_bytes) from error


@contextmanager
def temporary_folder(prefix: str = "tunery-", place: Path | None = None) -> Iterator[Path]:
    """
    Yield a new folder, and remove as much of it as possible at the end.

    `tempfile.TemporaryDirectory` recurses forever if a folder inside cannot be opened (Python 3.11 to 3.13).
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def into(target: Path) -> Iterator[Path]:
    """
    Yield a temporary folder that becomes `target`, a folder named by the user, if the block succeeds.

    Raises AlreadyExists if `target` is not empty, FailedPrecondition if it cannot be written.
    """
    target = target.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExists(f"{target} already exists and is not empty. Name another folder.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{target.name}-", target.parent) as work:
            copy = work / "export"
            copy.mkdir()
            yield copy
            copy.chmod(0o755)  # files of the data folder are readable for its user only
            if target.exists():
                target.rmdir()
            copy.rename(target)
    except OSError as error:
        raise FailedPrecondition(f"{target} cannot be written ({reason(error)}). Name another folder.") from error


def publish(target: Path, write: Callable[[Path], None], *, needed_bytes: int | None = None) -> str:
    """
    Let `write` fill a temporary folder, rename it to `target`, and return the sha256 of its manifest.

    Raises the same errors as `disk_errors`; nothing is visible then, and what was written is removed now or by the next
    `sweep`.
    """
    with disk_errors(target.parent, needed_bytes):
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700)
            sync(target.parent.parent)
        if target.exists():  # left by an earlier attempt of the same claim; no row names it
            shutil.rmtree(target)
        with _staging(target) as folder:
            write(folder)
            digest = _seal(folder)
            folder.rename(target)
        sync(target.parent)
    return digest


def open_published(folder: Path, manifest_sha256: str) -> Path:
    """
    Return the folder after comparing each of its files with the manifest; raise DataLoss if one differs.

    Raises Unavailable if a file cannot be read for a temporary reason, such as too many open files.
    """
    try:
        manifest = (folder / MANIFEST).read_bytes()
        if hashlib.sha256(manifest).hexdigest() != manifest_sha256:
            raise DataLoss(f"{folder / MANIFEST} is not the file that was published. {_ADVICE}")
        for name, entry in json.loads(manifest)["files"].items():
            if _entry(folder / name) != entry:
                raise DataLoss(f"{folder / name} is not the file that was published. {_ADVICE}")
    except OSError as error:
        if error.errno not in DAMAGE:
            raise Unavailable(f"{error.filename} could not be read ({error.strerror}). Try again.") from error
        raise DataLoss(f"{error.filename or folder} cannot be read ({error.strerror}). {_ADVICE}") from error
    return folder


def sweep(models: Path, kept: Mapping[str, Collection[int]]) -> list[Path]:
    """
    Remove incomplete adapter folders, and return the published ones that no task refers to.

    `kept` maps task ids to the claim numbers to keep; folders still being written under one of these are left alone.
    """
    unnamed = []
    for task_folder in _folders(models):
        claims = kept.get(task_folder.name)
        named = [task_folder / str(claim) for claim in claims or ()]
        writing = list(map(_partial, named))
        found = _folders(task_folder)
        for folder in (path for path in found if _is_partial(path) and path not in writing):
            shutil.rmtree(folder, ignore_errors=True)  # the next sweep removes what cannot be removed now
        if claims is None:
            with suppress(OSError):
                task_folder.rmdir()  # fails if anything is left in it
        whole = [task_folder] if claims is None and task_folder.exists() else []
        unnamed += whole or [path for path in found if not _is_partial(path) and path not in named and path.exists()]
    return unnamed


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """
    Lock `target`, the folder of a base, and yield an empty folder next to it; wait if another process holds the lock.

    The operating system releases the lock of a process that dies; the files it left behind are removed first.
    """
    from filelock import FileLock

    target.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # creates the data folder on first use
    target.parent.mkdir(exist_ok=True)
    with FileLock(target.parent / f".{target.name}_lock"), _staging(target) as folder:
        yield folder


def publish_base(
    staged: Path, target: Path, facts: dict[str, Any], *, keep: Collection[str] = (), on_progress: OnProgress = ignore
) -> None:
    """
    Move the files of `staged` into `target` and write its manifest: `facts`, and `files` with size and sha256 of each.

    Files are moved one by one, because `target` may exist already; of its files, only those in `keep` stay. A folder
    without a manifest does not count as complete, so writing the manifest is the only atomic step.
    """
    sources = sorted(path for path in staged.iterdir() if path.is_file())
    files = _entries(sources, on_progress)
    target.mkdir(parents=True, exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)  # before any file it lists
    for path in target.iterdir():
        if path.is_file() and path.name not in keep:
            path.unlink()
    for path in sources:
        sync(path)
        path.replace(target / path.name)
    sync(target)
    write_json(target / MANIFEST, {**facts, "files": files})


def changed_files(folder: Path) -> list[Path]:
    """Return the files of a base's folder that differ from its manifest; every file is read."""
    if not (folder / MANIFEST).is_file():
        return []
    try:
        listed = read_json(folder / MANIFEST)["files"]
        return [folder / name for name, entry in listed.items() if not is_file(folder / name, entry["sha256"])]
    except (DataLoss, LookupError, TypeError, AttributeError):
        return [folder / MANIFEST]


def is_file(path: Path, sha256: str) -> bool:
    """Return whether this is a file with these contents; False if the disk cannot read it."""
    try:
        return sha256_of(path) == sha256
    except OSError as error:
        if error.errno not in DAMAGE:
            raise
        return False


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Yield an empty folder next to `target`, and remove it at the end unless it was renamed."""
    folder = _partial(target)
    if folder.exists():
        shutil.rmtree(folder)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def all_below(folder: Path) -> list[Path]:
    """
    Return all files and folders below a folder, sorted; raises OSError where `rglob` would silently skip something.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        found += [Path(place) / name for name in (*folders, *files)]
    return sorted(found)


def _raise(error: OSError) -> NoReturn:
    raise error


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _is_partial(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".partial")


def _seal(folder: Path) -> str:
    """Sync all files and folders below, write the manifest, and return its sha256."""
    paths = all_below(folder)
    files = {path.relative_to(folder).as_posix(): _entry(path) for path in paths if path.is_file()}
    for path in paths:
        sync(path)
    manifest = json.dumps({"files": files}, indent=2, sort_keys=True).encode()
    (folder / MANIFEST).write_bytes(manifest)
    sync(folder / MANIFEST)
    sync(folder)
    return hashlib.sha256(manifest).hexdigest()


def _entries(paths: list[Path], on_progress: OnProgress) -> dict[str, dict[str, object]]:
    sizes = [path.stat().st_size for path in paths]
    entries = {}
    for index, path in enumerate(paths):
        on_progress(Progress("check", sum(sizes[:index]), sum(sizes)))
        entries[path.name] = _entry(path)
    on_progress(Progress("check", sum(sizes), sum(sizes)))
    return entries


def _entry(path: Path) -> dict[str, object]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [path for path in parent.iterdir() if path.is_dir() and not path.is_symlink()]
