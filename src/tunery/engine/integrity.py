"""
Checks whether the files of a base are still those that were pulled or added, in a thread while the base is loaded.

A flipped bit does not change the time of a file, so everything is hashed each time a process loads a base. Bases larger
than WAITED_BYTES are used in the meantime, but nothing is published before the check has ended.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from tunery.engine.catalog import Catalog
from tunery.errors import DataLoss
from tunery.files import MANIFEST, is_file, read_json

WAITED_BYTES = 1 << 30  # can be hashed in a second, about as long as loading takes


class BaseCheck:
    """
    Compares the files of a base with their sha256 in a thread that starts now, and again later if one was replaced.
    """

    def __init__(self, catalog: Catalog, name: str) -> None:
        self._name, self._remedy = name, remedy(catalog, name)
        self._expected = expected_files(catalog, name)
        self._compared: dict[Path, tuple[int, int, int]] = {}
        self._damaged: Path | None = None
        self._thread = threading.Thread(target=self._compare_quietly, name=f"check of {name}", daemon=True)
        self._thread.start()

    @property
    def is_large(self) -> bool:
        """Whether it takes longer than a user would want to wait for a first answer."""
        return sum(status[0] for status in map(_status, self._expected) if status) > WAITED_BYTES

    def require(self, *, waits: bool) -> None:
        """Raise DataLoss if a file has changed; without `waits`, only if that is already known."""
        if waits:
            self._thread.join()
        if self._thread.is_alive():
            return
        if self._damaged is None and any(self._compared.get(path) != _status(path) for path in self._expected):
            self._compare()
        if self._damaged is not None:
            raise DataLoss(
                f"The base {self._name} is damaged: {self._damaged} is not the file that was added. {self._remedy}"
            )

    def _compare_quietly(self) -> None:
        with suppress(OSError):  # an error such as too many open files; `require` tries again and raises it
            self._compare()

    def _compare(self) -> None:
        for path, sha256 in self._expected.items():
            status = _status(path)
            if status is None or not is_file(path, sha256):
                self._damaged = path  # permanently, because the damaged data stays in memory
                return
            self._compared[path] = status


def require_whole(catalog: Catalog, name: str) -> None:
    """Raise DataLoss if a file of a base has changed since it was pulled or added; reads all files."""
    BaseCheck(catalog, name).require(waits=True)


def expected_files(catalog: Catalog, name: str) -> dict[Path, str]:
    """Return the files of a base, each with its sha256."""
    record = catalog.record(name)
    if record and record.kind == "folder":
        return {Path(path): facts.sha256 for path, facts in record.files.items()}
    folder = catalog.folder(name)
    try:
        return {folder / file: str(facts["sha256"]) for file, facts in read_json(folder / MANIFEST)["files"].items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise DataLoss(f"{folder / MANIFEST} does not list the files of {name}. {remedy(catalog, name)}") from error


def remedy(catalog: Catalog, name: str) -> str:
    """Return what to do about a damaged base, as a sentence."""
    record, entry = catalog.record(name), catalog.resolve(name)
    own_name = entry.alias_of or entry.name
    if record and record.kind == "folder":
        return f"Put the original file back, or add it again: tunery bases add {record.place} --name {own_name}"
    return f"Delete {catalog.bases / own_name / MANIFEST} and run: tunery bases get {own_name}"


def _status(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
