"""
What is remembered of a base that the user added: `bases/<name>/base.json` in the data folder.

Read and written as a whole, atomically. It knows the names that a base may have, not what its files mean.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument
from tunery.files import read_json, sha256_of, write_json

RECORD_FILE = "base.json"
NAME_RULE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file was when its base was added."""

    size: int  # bytes
    modified: int  # nanoseconds since 1970
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """A base that the user added."""

    name: str
    display_name: str
    source: str  # as in CatalogEntry
    licence: str
    input_token_limit: int
    parameters: int
    files: dict[str, FileFacts] = field(default_factory=dict)  # by path; those that are used where they are

    @property
    def kind(self) -> str:
        """Return "folder", "gguf" or "hub"."""
        return self.source.partition(":")[0]

    @property
    def place(self) -> str:
        """Return the path or hub id in `source`."""
        return self.source.partition(":")[2]


def check_name(name: str) -> str:
    """Return the name of a base; raises InvalidArgument when it breaks the rule."""
    if not NAME_RULE.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} cannot name a base: use 1 to 63 of a-z, 0-9, dot and hyphen, beginning with a letter or digit."
        )
    return name


def read_records(bases: Path) -> dict[str, Record]:
    """Return all records by name, in the order of their names."""
    return {path.parent.name: _read(path) for path in sorted(bases.glob(f"[!.]*/{RECORD_FILE}"))}


def write_record(bases: Path, record: Record) -> None:
    """Write the record of a base; an earlier one is replaced."""
    folder = bases / check_name(record.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD_FILE, asdict(record))


def file_facts(path: Path) -> FileFacts:
    """Return size, time and sha256 of a file; reads all of it."""
    status = path.stat()
    return FileFacts(status.st_size, status.st_mtime_ns, sha256_of(path))


def is_unchanged(record: Record) -> bool:
    """Say whether the files used in place still have the size and time that they had when they were added."""
    return all(_same(Path(path), facts) for path, facts in record.files.items())


def require_unchanged(record: Record) -> None:
    """Raise FailedPrecondition when files that are used in place are gone or were changed."""
    changed = [path for path, facts in record.files.items() if not _same(Path(path), facts)]
    if changed:
        raise FailedPrecondition(
            f"{', '.join(changed)} changed or vanished after base {record.name} was added."
            f" Run `tunery bases add {record.place} --name {record.name}` again."
        )


def _same(path: Path, facts: FileFacts) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (facts.size, facts.modified)


def _read(path: Path) -> Record:
    values = read_json(path)
    try:
        files = {name: FileFacts(**facts) for name, facts in values.pop("files", {}).items()}
        record = Record(**values, files=files)
    except TypeError as error:
        raise DataLoss(
            f"{path} does not describe a base ({error}). Delete its folder and add the base again."
        ) from error
    if record.name != path.parent.name or not NAME_RULE.fullmatch(record.name):
        raise DataLoss(f"{path} describes {record.name!r}, not its own folder. Delete it and add the base again.")
    return record
