"""
Everything that tunery raises on purpose.

One small tree: each class carries its google.rpc status, from which the HTTP status and the exit status follow.
It knows no HTTP, no SQL and no tensors. A message is one sentence: what was wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class TuneryError(Exception):
    """Something went wrong inside tunery."""

    status: str = "INTERNAL"
    code: int = 13  # google.rpc.Code
    reason: str | None = None  # google.rpc.ErrorInfo, a stable word for programs

    def __init__(self, message: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.reason = reason or self.reason

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a pipe between two processes whatever arguments a subclass takes."""
        return _rebuilt, (type(self), str(self), self.__dict__)

    @property
    def exit_status(self) -> int:
        """Exit status of a command that ends with this error: 10 + the google.rpc code."""
        return 10 + self.code


class Cancelled(TuneryError):
    """The tuning job was cancelled."""

    status, code = "CANCELLED", 1


class InvalidArgument(TuneryError):
    """A value that was given cannot be used."""

    status, code = "INVALID_ARGUMENT", 3


class DatasetInvalid(InvalidArgument):
    """
    The data cannot be used for tuning.

    `problems` holds all of them, not the first one only.
    """

    def __init__(self, message: str, problems: Sequence[DataProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class TuningUnstable(InvalidArgument):
    """
    Loss or gradient was not a number.

    `step` is the optimizer step, counted from 1, that could not be taken.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"Tuning became unstable at step {step}. Use a smaller learning rate.")
        self.step = step


class DeadlineExceeded(TuneryError):
    """The request waited too long and was given up."""

    status, code = "DEADLINE_EXCEEDED", 4


class NotFound(TuneryError):
    """What was named does not exist."""

    status, code = "NOT_FOUND", 5


class AlreadyExists(TuneryError):
    """The id is taken."""

    status, code = "ALREADY_EXISTS", 6


class PermissionDenied(TuneryError):
    """The caller may not do this."""

    status, code = "PERMISSION_DENIED", 7


class ResourceExhausted(TuneryError):
    """A limit of this machine or of its settings was reached."""

    status, code = "RESOURCE_EXHAUSTED", 8


class OutOfMemory(ResourceExhausted):
    """This machine ran out of memory. Use a smaller batch size or base model."""


class FailedPrecondition(TuneryError):
    """The thing is not in a state that allows this."""

    status, code = "FAILED_PRECONDITION", 9


class FolderLocked(FailedPrecondition):
    """Another tunery process is using the data folder."""


class Unimplemented(TuneryError):
    """This is not offered."""

    status, code = "UNIMPLEMENTED", 12


class Unavailable(TuneryError):
    """Not possible at the moment; nothing was created."""

    status, code = "UNAVAILABLE", 14


class DataLoss(TuneryError):
    """A stored file is not the one that was written."""

    status, code = "DATA_LOSS", 15
    reason = "DATA_LOSS"


class Unauthenticated(TuneryError):
    """The credentials are not valid, or not valid any more."""

    status, code = "UNAUTHENTICATED", 16


def as_tunery_error(error: Exception) -> TuneryError:
    """Return the error itself, or one that reports an unexpected error."""
    return error if isinstance(error, TuneryError) else TuneryError(f"Something went wrong: {error!r}.")


def _rebuilt(kind: type[TuneryError], message: str, fields: dict[str, object]) -> TuneryError:
    error = kind.__new__(kind, message)
    error.__dict__.update(fields)
    return error


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
