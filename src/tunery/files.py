"""
Writing files so that they are whole or absent, also after a kill or a power cut.

Knows bytes and folders; not what is in them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import AlreadyExists, DataLoss, FailedPrecondition, ResourceExhausted, Unavailable


def write_whole(path: Path, data: bytes) -> None:
    """Write beside, flush to the disk, rename over `path`; what was there before stays until then."""
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


@contextmanager
def into(target: Path) -> Iterator[Path]:
    """
    Give a temporary folder that becomes `target` when the block ends well; nothing is left if it does not.

    Raises AlreadyExists if something is there, FailedPrecondition if `target` cannot be written.
    """
    target = target.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExists(f"{target} is there already and not empty. Name another folder.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
            copy = Path(work) / "export"
            copy.mkdir()
            yield copy
            copy.chmod(0o755)  # in the data folder it is for its user only
            if target.exists():
                target.rmdir()
            copy.rename(target)
    except OSError as error:
        raise FailedPrecondition(f"{target} cannot be written ({error.strerror}). Name another folder.") from error


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
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


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of fetching a base: `done` of `total` bytes of one stage."""

    stage: str  # "download", "unpack", "convert" or "check"
    done: int
    total: int | None = None  # None: not known


OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Take progress and do nothing with it."""


MANIFEST = "manifest.json"

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, quota of the user, limit of the process
_FAILING = (errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


def publish(target: Path, write: Callable[[Path], None], *, needed_bytes: int | None = None) -> str:
    """
    Let `write` fill a temporary folder, make it visible as `target`, and return the sha256 of its manifest.

    `needed_bytes` is what the files will take, for the message when the disk is full. Raises ResourceExhausted when it
    is, Unavailable when the disk fails; then nothing is visible and what was written is gone, at the latest by `sweep`.
    """
    temporary = _temporary(target)
    with _disk_errors(target, needed_bytes):
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700)
            sync(target.parent.parent)
        for left in (temporary, target):  # of a try of the same claim that failed; no row names them
            if left.exists():
                shutil.rmtree(left)
        try:
            temporary.mkdir(mode=0o700)
            write(temporary)
            digest = _seal(temporary)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)  # gives the space back; the sweeper takes what is left
            raise
        sync(target.parent)
    return digest


def open_published(folder: Path, manifest_sha256: str) -> Path:
    """Return the folder after every file of it was compared with its manifest; DataLoss if one is not as published."""
    try:
        manifest = (folder / MANIFEST).read_bytes()
        if hashlib.sha256(manifest).hexdigest() != manifest_sha256:
            raise DataLoss(f"{folder / MANIFEST} is not the file that was published. {_WHAT_TO_DO}")
        for name, entry in json.loads(manifest)["files"].items():
            if _entry(folder / name) != entry:
                raise DataLoss(f"{folder / name} is not the file that was published. {_WHAT_TO_DO}")
    except OSError as error:
        raise DataLoss(f"{error.filename} cannot be read ({error.strerror}). {_WHAT_TO_DO}") from error
    return folder


def sweep(models: Path, kept: Mapping[str, Collection[int]]) -> list[Path]:
    """
    Remove the adapter folders, published or temporary, of all but the kept fencing epochs.

    `kept` maps ids of tasks to fencing epochs. Returns what was to be removed.
    """
    removed = []
    for task_folder in _folders(models):
        epochs = kept.get(task_folder.name)
        if epochs is None:
            removed.append(task_folder)
            continue
        published = [task_folder / str(epoch) for epoch in epochs]
        named = {*published, *map(_temporary, published)}
        removed += [folder for folder in _folders(task_folder) if folder not in named]
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now, the next sweep takes
    return removed


_WHAT_TO_DO = "Restore the data folder from a backup or tune the model again."


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _seal(folder: Path) -> str:
    """Sync all files and folders below, write the manifest, and return its sha256."""
    paths = sorted(folder.rglob("*"))
    files = {path.relative_to(folder).as_posix(): _entry(path) for path in paths if path.is_file()}
    for path in paths:
        sync(path)
    manifest = json.dumps({"files": files}, indent=2, sort_keys=True).encode()
    (folder / MANIFEST).write_bytes(manifest)
    sync(folder / MANIFEST)
    sync(folder)
    return hashlib.sha256(manifest).hexdigest()


def _entry(path: Path) -> dict[str, object]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [path for path in parent.iterdir() if path.is_dir() and not path.is_symlink()]


@contextmanager
def _disk_errors(target: Path, needed_bytes: int | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = target.parent
        if error.errno in DISK_FULL:
            needed = "more space is" if needed_bytes is None else f"{-(-needed_bytes // 10**6)} MB are"
            message = f"The disk is full: {needed} needed in {place}. Free some space and try again."
            raise ResourceExhausted(message) from error
        if error.errno in _FAILING:
            message = f"{place} could not be written ({error.strerror}). Check the disk and try again."
            raise Unavailable(message) from error
        raise


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """
    Hold the lock of `target` and yield an empty folder beside it.

    Waits while another process holds the lock; the operating system frees it when that process dies. What a killed
    process left is removed first. `_` is not allowed in names of bases, so that no name is the beginning of another's.
    """
    from filelock import FileLock

    target.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the data folder, perhaps for the first time
    target.parent.mkdir(exist_ok=True)
    with FileLock(target.parent / f".{target.name}_lock"):
        _sweep(target)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}_staging_", dir=target.parent))
        try:
            yield folder
        finally:
            _sweep(target)


def publish_base(
    staged: Path, target: Path, facts: dict[str, Any], *, keep: Collection[str] = (), on_progress: OnProgress = ignore
) -> None:
    """
    Move the files of `staged` into `target` and write its manifest, `facts` and `files` with size and sha256 each.

    Of what `target` held before only files named in `keep` stay. Nothing is published until the manifest is renamed
    into place, one atomic step.
    """
    sources = sorted(path for path in staged.iterdir() if path.is_file())
    files = _hash_all(sources, on_progress)
    target.mkdir(parents=True, exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)  # before anything that it lists
    for path in target.iterdir():
        if path.is_file() and path.name not in keep:
            path.unlink()
    for path in sources:
        sync(path)
        path.replace(target / path.name)
    sync(target)
    write_json(target / MANIFEST, {**facts, "files": files})


def write_json(path: Path, value: object) -> None:
    """Write JSON so that readers see the old file or the new one, also after a crash."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote; raises DataLoss when it is something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataLoss(f"{path} is not JSON ({error}). Delete it and add or pull the base again.") from error
    if not isinstance(value, dict):
        raise DataLoss(f"{path} holds no JSON object. Delete it and add or pull the base again.")
    return value


def _sweep(target: Path) -> None:
    """Remove all staging folders of `target`; only the holder of its lock may."""
    for leftover in target.parent.glob(f".{target.name}_staging_*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _hash_all(paths: list[Path], on_progress: OnProgress) -> dict[str, dict[str, Any]]:
    sizes = [path.stat().st_size for path in paths]
    files: dict[str, dict[str, Any]] = {}
    for index, path in enumerate(paths):
        on_progress(Progress("check", sum(sizes[:index]), sum(sizes)))
        files[path.name] = {"size": sizes[index], "sha256": sha256_of(path)}
    on_progress(Progress("check", sum(sizes), sum(sizes)))
    return files
