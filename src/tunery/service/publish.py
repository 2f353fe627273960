"""
Adapter folders become visible whole or not at all, are checked when they are opened, and go when nobody names them.

Protocol: a temporary folder, files written and synced, `manifest.json` with size and sha256 of each, the folder synced,
renamed, its parent synced. It knows neither what the files mean nor which row names them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tunery.engine.files import sha256_of, sync
from tunery.errors import DataLoss, ResourceExhausted, Unavailable

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
