"""
The exceptions that tunery raises on purpose, and problems in user data.

Each class carries its google.rpc status, which decides the HTTP status and the exit status. A message says what was
wrong, where, and what to do.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_SHOWN_PROBLEMS = 5


def did_you_mean(wanted: str, names: Mapping[str, str] | Iterable[str]) -> str:
    """
    Return " Did you mean x or y?" with the names that look like a wrong one, else an empty text.

    In a mapping, the keys are spellings of the names.
    """
    spellings = names if isinstance(names, Mapping) else {name: name for name in names}
    known = {spelling.lower(): name for spelling, name in spellings.items()}
    near = dict.fromkeys(known[spelling] for spelling in difflib.get_close_matches(wanted.lower(), known))
    return f" Did you mean {' or '.join(near)}?" if near else ""


class TuneryError(Exception):
    """Something went wrong inside tunery."""

    status: str = "INTERNAL"
    code: int = 13  # google.rpc.Code
    reason: str | None = None  # google.rpc.ErrorInfo, a stable code for programs

    def __init__(self, message: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.reason = reason or self.reason

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling of any subclass, whatever arguments its constructor takes."""
        return _rebuilt, (type(self), str(self), self.__dict__)

    @property
    def exit_status(self) -> int:
        """The exit status of a command that ends with this error: 10 + the google.rpc code."""
        return 10 + self.code


class Cancelled(TuneryError):
    """The tuning job was cancelled."""

    status, code = "CANCELLED", 1


class InvalidArgument(TuneryError):
    """A given value cannot be used."""

    status, code = "INVALID_ARGUMENT", 3


class DatasetInvalid(InvalidArgument):
    """
    The data cannot be used for tuning.

    `problems` has all problems; without a message, the first few become the message.
    """

    def __init__(self, message: str, problems: Sequence[DataProblem] = ()) -> None:
        more = f" And {len(problems) - _SHOWN_PROBLEMS:,} more." if len(problems) > _SHOWN_PROBLEMS else ""
        super().__init__(message or " ".join(map(str, problems[:_SHOWN_PROBLEMS])) + more)
        self.problems = tuple(problems)


class BodyInvalid(InvalidArgument):
    """
    Fields of a request cannot be used.

    `detail` has all of them: `loc`, the path to the field, `msg` and `type`, as in the replies of FastAPI. Without a
    message, they become the message.
    """

    def __init__(self, message: str | None = None, detail: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message or " ".join(map(_placed, detail)))
        self.detail = [dict(problem) for problem in detail]


def _placed(problem: Mapping[str, Any]) -> str:
    place = ".".join(map(str, problem["loc"][1:]))
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])


class TuningUnstable(InvalidArgument):
    """
    The loss or the gradient was not a number.

    `step` is the optimizer step that failed, counted from 1.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"Tuning became unstable at step {step}. Use a smaller learning rate.")
        self.step = step


class TuningRuined(InvalidArgument):
    """
    The tuned model predicts its own examples much worse than the model it was tuned from, in every kept epoch.

    `loss` and `start_loss` are nats per answer token, after tuning and before.
    """

    def __init__(self, loss: float, start_loss: float, learning_rate: float) -> None:
        super().__init__(
            f"Tuning ruined the model: the loss on its own examples is {loss:.2f}, {start_loss:.2f} before tuning. The"
            f" learning rate of {learning_rate:g} is too high; use a smaller one."
        )
        self.loss, self.start_loss = loss, start_loss


class AnswersRuined(InvalidArgument):
    """
    The tuned model ignores its input: in every kept epoch, it gives the same answer to every example.

    `answer` is that answer, which may be empty.
    """

    def __init__(self, answer: str, learning_rate: float) -> None:
        what = f"the same answer, “{answer}”, whatever the input" if answer else "an empty answer to every example"
        super().__init__(
            f"Tuning ruined the model: it gives {what}. The learning rate of {learning_rate:g} is too high; use a"
            " smaller one."
        )
        self.answer = answer


class DeadlineExceeded(TuneryError):
    """The request took too long and was cancelled."""

    status, code = "DEADLINE_EXCEEDED", 4


class NotFound(TuneryError):
    """The named resource does not exist."""

    status, code = "NOT_FOUND", 5


class AlreadyExists(TuneryError):
    """The id is taken."""

    status, code = "ALREADY_EXISTS", 6


class PermissionDenied(TuneryError):
    """The caller may not do this."""

    status, code = "PERMISSION_DENIED", 7


class ResourceExhausted(TuneryError):
    """A limit of this machine or its settings was reached."""

    status, code = "RESOURCE_EXHAUSTED", 8


class OutOfMemory(ResourceExhausted):
    """This machine ran out of memory. Use a smaller batch size or base model."""


class FailedPrecondition(TuneryError):
    """The resource is not in a state that allows this."""

    status, code = "FAILED_PRECONDITION", 9


class OtherCheckpoint(FailedPrecondition):
    """
    Tuning cannot resume from a checkpoint; `said` is a sentence that does not name the folder.
    """

    def __init__(self, folder: object, reason: str) -> None:
        super().__init__(f"The checkpoint in {folder} {reason}.")
        self.said = f"The checkpoint {reason}"


class FolderLocked(FailedPrecondition):
    """Another tunery process is using the data folder."""


class Unimplemented(TuneryError):
    """This feature is not offered."""

    status, code = "UNIMPLEMENTED", 12


class Unavailable(TuneryError):
    """Not possible at the moment; nothing was created."""

    status, code = "UNAVAILABLE", 14


class DataLoss(TuneryError):
    """A stored file was damaged or changed."""

    status, code = "DATA_LOSS", 15
    reason = "DATA_LOSS"


class CheckpointDamaged(DataLoss):
    """A checkpoint, or an epoch that belongs to it, is not what was written."""


class Unauthenticated(TuneryError):
    """The credentials are invalid or have expired."""

    status, code = "UNAUTHENTICATED", 16


DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the user's quota, the limit of the process
_OF_THE_SYSTEM = (*DISK_FULL, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES)
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def as_tunery_error(error: Exception) -> TuneryError:
    """Return any exception as a TuneryError; disk errors and too many open files get a message of their own."""
    if isinstance(error, TuneryError):
        return error
    if isinstance(error, OSError) and _errno(error) in _OF_THE_SYSTEM:
        return system_error(error)
    return TuneryError(f"Something went wrong: {error!r}.")


def system_error(error: OSError, place: object = None, needed_bytes: int | None = None) -> TuneryError:
    """Return ResourceExhausted for a full disk, stating `needed_bytes`, and Unavailable for any other OSError."""
    where = place or error.filename
    if _errno(error) in DISK_FULL:
        needed = "more space is" if needed_bytes is None else f"{-(-needed_bytes // 10**6)} MB are"
        wanted = f" in {where}" if where else ""
        return ResourceExhausted(f"The disk is full: {needed} needed{wanted}. Free some space and try again.")
    what = where or "A file"
    return Unavailable(f"{what} could not be read or written ({reason(error)}). Check the disk and try again.")


def reason(error: OSError) -> str:
    """
    Return why a file operation failed; shutil collects several errors in one exception that has no text of its own.
    """
    if error.strerror is None and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][-1])
    return error.strerror or str(error)


def _errno(error: OSError) -> int | None:
    found = _ERRNO.search(reason(error)) if error.errno is None else None
    return int(found[1]) if found else error.errno


def _rebuilt(kind: type[TuneryError], message: str, fields: dict[str, object]) -> TuneryError:
    error = kind.__new__(kind, message)
    error.__dict__.update(fields)
    return error


class Level(StrEnum):
    """How serious a data problem is."""

    ERROR = "error"  # the row is unusable; tuning does not start
    WARNING = "warning"  # usable, but the user should know


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a file: the option value that selects it, and up to three rows read that way."""

    value: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class DataProblem:
    """
    One problem in the data, and where it is.

    If the file can be read in several ways, `option` names the option of `Dataset.read` that decides between them, and
    `readings` lists them, the likeliest first. The code that shows the message adds how to set the option.
    """

    kind: str  # a stable code for programs, such as "empty-output"
    message: str  # a sentence that says what is wrong, with the limit and the actual value
    level: Level = Level.ERROR
    row: int | None = None  # as in the file, counted from 1 including the header; None: the whole file
    column: str | None = None
    limit: int | None = None
    actual: int | None = None
    option: str | None = None
    readings: tuple[Reading, ...] = ()
    other_row: int | None = None  # the earlier row that this one repeats or contradicts

    @property
    def is_skippable(self) -> bool:
        """
        Whether leaving out the row solves the problem; a problem of the whole file names a row only as an example.
        """
        is_evidence = self.option is not None or self.kind.startswith(("guessed-", "left-out-"))
        return self.row is not None and not is_evidence

    def __str__(self) -> str:
        where = ", ".join(part for part in (f"Row {self.row}" if self.row else "", self.column or "") if part)
        return f"{where}: {self.message}" if where else self.message


_ROWS_IN_SENTENCE = 5


def told_together(
    problems: Sequence[DataProblem], written: Callable[[str], str]
) -> list[tuple[str, list[DataProblem]]]:
    """
    Return a sentence for each cause together with its problems; rows with the same problem share one.

    `written` returns how the reader of the sentence writes an option, such as "--header-row".
    """
    groups: dict[tuple[str, str | None, str], list[DataProblem]] = {}
    for problem in problems:
        groups.setdefault((problem.kind, problem.column, problem.message), []).append(problem)
    return [(_sentence(group, written), group) for group in groups.values()]


def _sentence(group: Sequence[DataProblem], written: Callable[[str], str]) -> str:
    first, rows = group[0], list(dict.fromkeys(problem.row for problem in group if problem.row is not None))
    text = str(first)
    if len(rows) > 1:
        shown, more = rows[:_ROWS_IN_SENTENCE], len(rows) - _ROWS_IN_SENTENCE
        last = f"{more:,} more" if more > 0 else str(shown.pop())
        column = f", {first.column}" if first.column else ""
        text = f"Rows {', '.join(map(str, shown))} and {last}{column}: {first.message}"
    return text if first.option is None else f"{text.removesuffix('.')} ({written(first.option)})."


def kind_of(key: object) -> type[TuneryError]:
    """Return the class with this status or google.rpc code, TuneryError if there is none."""
    own = (kind for kind in TuneryError.__subclasses__() if kind.__module__ == __name__)
    return next(
        (kind for kind in own if key in (kind.status, kind.code)), TuneryError
    )  # each is of one direct subclass
