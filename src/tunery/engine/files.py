"""
Writing files so that they are whole or absent, also after a kill or a power cut.

Knows bytes and folders; not what is in them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunery.errors import AlreadyExists, FailedPrecondition


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
