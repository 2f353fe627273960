"""
Reads untrusted files in a child process with limits on memory and processor time.

Whatever a file does to the parser, this process survives and receives an error message. Results come back as JSON over
a
pipe. On platforms without such limits (no `resource` module) the file is read in this process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

from tunery import errors
from tunery.data.dataset import SAMPLE_ROWS, Dataset, Preview, ReadOptions, SampleRow, preview
from tunery.data.tables import Row, Sheet, invalid
from tunery.data.unanswered import InputFile, read_inputs
from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument, Level, Reading, TuneryError, Unavailable
from tunery.types import TuningExample

MAX_MEMORY_BYTES = 512 * 1024 * 1024
MAX_CPU_SECONDS = 10
# a bug of our own; anything else, such as a library that cannot be loaded or "[Errno 5]", is the fault of the system
_OURS = re.compile(r"(?!ImportError|ModuleNotFoundError)[A-Z][\w.]*: (?!\[Errno )")
MAX_WAIT_SECONDS = 60  # on a busy machine, a second of processor time takes longer
NICENESS = 10  # answers have priority
_TOO_LARGE = f"took more than {MAX_MEMORY_BYTES // 1024**2} MB of memory"


def read_guarded(path: str | Path, **options: Unpack[ReadOptions]) -> Dataset:
    """Run `Dataset.read` in a child process."""
    if not _has_limits():
        return Dataset.read(path, **options)
    return _dataset(_ask(path, _plain(options), "dataset")["dataset"])


def preview_guarded(path: str | Path, sample_rows: int = SAMPLE_ROWS, **options: Unpack[ReadOptions]) -> Preview:
    """Run `preview` in a child process."""
    if not _has_limits():
        return preview(path, sample_rows, **options)
    return _preview(_ask(path, {**_plain(options), "sample_rows": sample_rows}, "preview")["preview"])


def read_and_preview_guarded(path: str | Path, **options: Unpack[ReadOptions]) -> tuple[Dataset, Preview]:
    """Run both in one child process, since starting it takes most of the time."""
    if not _has_limits():
        return Dataset.read(path, **options), preview(path, **options)
    found = _ask(path, _plain(options), "dataset", "preview")
    return _dataset(found["dataset"]), _preview(found["preview"])


def read_inputs_guarded(path: str | Path, **options: Unpack[ReadOptions]) -> InputFile:
    """Run `read_inputs` in a child process."""
    if not _has_limits():
        return read_inputs(path, **options)
    found: dict[str, Any] = _ask(path, _plain(options), "inputs")["inputs"]
    rows = tuple(Row(row["number"], tuple(row["cells"])) for row in found["rows"])
    inputs, texts = tuple(found["inputs"]), tuple(found["texts"])
    return InputFile(tuple(found["columns"]), rows, inputs, texts, found["has_header"])


def _has_limits() -> bool:
    return importlib.util.find_spec("resource") is not None


def _ask(path: str | Path, options: dict[str, Any], *wanted: str) -> dict[str, Any]:
    """Return the child's results by name. Raises DatasetInvalid when a limit stopped it."""
    request = {"wanted": wanted, "path": str(path), "options": options}
    # -P: a file named json.py in the user's folder must not be imported.
    command = [sys.executable, "-P", "-m", "tunery.data.sandbox"]
    command += [str(MAX_MEMORY_BYTES), str(MAX_CPU_SECONDS * len(wanted))]
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=MAX_WAIT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise _stopped(f"took more than {MAX_WAIT_SECONDS} seconds") from error
    if done.returncode < 0:
        raise _stopped(_reason(-done.returncode))
    if done.returncode > 0:
        why = _last_line(done.stderr)
        if _OURS.match(why):
            raise TuneryError(f"The reader of data files failed: {why}")
        raise Unavailable(f"The file could not be read ({why}). Try again.")
    answer: dict[str, Any] = json.loads(done.stdout)
    if "error" in answer:
        raise _error(answer["error"])
    return answer


def _plain(options: ReadOptions) -> dict[str, Any]:
    plain: dict[str, Any] = dict(options)
    for name in ("skip_rows", "input_column"):
        if name in plain and plain[name] is not None and not isinstance(plain[name], str):
            plain[name] = list(plain[name])
    return plain


def _reason(number: int) -> str:
    if sys.platform != "win32":
        if number == signal.SIGXCPU:
            return f"took more than {MAX_CPU_SECONDS} seconds"
        # Rust code that runs out of memory aborts; the kernel kills.
        if number in (signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV):
            return _TOO_LARGE
    return f"was ended by signal {number}"


def _stopped(why: str) -> DatasetInvalid:
    return invalid("reading-stopped", f"Reading the file {why} and was stopped. Save the table as CSV and try again.")


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


def _error(value: Mapping[str, Any]) -> TuneryError:
    if value["class"] == "MemoryError":
        return _stopped(_TOO_LARGE)
    if value["class"] == "DatasetInvalid":
        return DatasetInvalid(value["message"], _problems(value["problems"]))
    known = getattr(errors, value["class"], InvalidArgument)
    error: TuneryError = known(value["message"])
    return error


def _dataset(value: Mapping[str, Any]) -> Dataset:
    examples = tuple(TuningExample(**example) for example in value["examples"])
    return Dataset(examples, _problems(value["problems"]), value["source"], tuple(value["rows"]))


def _preview(value: Mapping[str, Any]) -> Preview:
    first = value["first_example"]
    lists = {name: tuple(value[name]) for name in ("columns", "input_columns", "ignored_columns")}
    made = {
        "sample": _rows(value["sample"]),
        "problem_rows": _rows(value["problem_rows"]),
        "problems": _problems(value["problems"]),
        "first_example": None if first is None else TuningExample(**first),
        "sheets": tuple(Sheet(**sheet) for sheet in value["sheets"]),
    }
    return Preview(**{**value, **lists, **made})


def _rows(values: list[dict[str, Any]]) -> tuple[SampleRow, ...]:
    return tuple(SampleRow(row["number"], tuple(row["cells"])) for row in values)


def _problems(values: list[dict[str, Any]]) -> tuple[DataProblem, ...]:
    return tuple(
        DataProblem(**{**value, "level": Level(value["level"]), "readings": _readings(value["readings"])})
        for value in values
    )


def _readings(values: list[dict[str, Any]]) -> tuple[Reading, ...]:
    return tuple(Reading(value["value"], tuple(tuple(row) for row in value["rows"])) for value in values)


_READERS: dict[str, Callable[..., Any]] = {"dataset": Dataset.read, "preview": preview, "inputs": read_inputs}


def main(arguments: list[str]) -> None:
    """Answer one request."""
    if sys.platform == "win32":  # where the parent starts no child
        raise NotImplementedError
    os.nice(NICENESS)
    memory_bytes, cpu_seconds = map(int, arguments)
    request = json.load(sys.stdin)
    _limit("RLIMIT_AS", memory_bytes)
    _limit("RLIMIT_CPU", cpu_seconds)
    _limit("RLIMIT_CORE", 0)
    json.dump(_answer(request), sys.stdout)


def _limit(name: str, value: int) -> None:
    """Lower the soft limit, but never set it above the hard limit, which may already be lower."""
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (soft, hard))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {name: asdict(_READERS[name](request["path"], **request["options"])) for name in request["wanted"]}
    except TuneryError as error:
        problems = [asdict(problem) for problem in error.problems] if isinstance(error, DatasetInvalid) else []
        return {"error": {"class": type(error).__name__, "message": str(error), "problems": problems}}
    except MemoryError:
        return {"error": {"class": "MemoryError"}}


if __name__ == "__main__":
    main(sys.argv[1:])
