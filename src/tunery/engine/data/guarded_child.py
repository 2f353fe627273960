"""
The child of `guarded`: `python -m tunery.engine.data.guarded_child MEMORY_BYTES CPU_SECONDS`.

Takes a request as JSON from standard input, reads one file under these limits, and writes the answer as JSON to
standard output. It opens that file and nothing else.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tunery.engine.data.datasets import Dataset
from tunery.engine.data.preview import preview
from tunery.errors import DatasetInvalid, TuneryError

_READERS: dict[str, Callable[..., Any]] = {"dataset": Dataset.read, "preview": preview}


def main(arguments: list[str]) -> None:
    """Answer one request."""
    memory_bytes, cpu_seconds = map(int, arguments)
    request = json.load(sys.stdin)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_CORE, 0)
    json.dump(_answer(request), sys.stdout)


def _limit(kind: int, value: int) -> None:
    """Lower the soft limit; never ask for more than the hard one, which may be lower already."""
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
