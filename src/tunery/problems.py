"""
What can be wrong with a user's data, as a value.

Below the errors, which carry problems; knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a problem of the data matters."""

    ERROR = "error"  # the row cannot be used; nothing starts
    WARNING = "warning"  # usable, but the user should know


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One thing that is wrong with the data, and where."""

    kind: str  # stable word for programs, e.g. "empty-output"
    message: str  # a sentence with what, limit and actual value
    level: Level = Level.ERROR
    row: int | None = None  # as in the file, counted from 1 with the header; None: the whole file
    column: str | None = None
    limit: int | None = None
    actual: int | None = None

    def __str__(self) -> str:
        where = ", ".join(part for part in (f"Row {self.row}" if self.row else "", self.column or "") if part)
        return f"{where}: {self.message}" if where else self.message
