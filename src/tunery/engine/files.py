"""
Writing files so that they are whole or absent, also after a kill or a power cut.

Knows bytes and folders; not what is in them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


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
