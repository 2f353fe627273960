"""
kill -9 at every point of a library's life, and at every system call of it that writes (A-1); what is left is judged.

    python -m tests.chaos.kill_points    # some minutes; prints one line of JSON; needs strace

The victim and the judge are those of `tests/service/test_kill.py`, which takes every 3rd point and every 13th call.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from tests.service.test_kill import judge, lives
from tunery.service.library import Library


def main() -> None:
    """Kill everywhere; a life that is not whole ends this with an AssertionError."""
    begin = time.monotonic()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        template = Path(folder) / "template"
        with Library.own(template):
            pass
        counts = {}
        for kind, mode in (("points", "points"), ("system calls", "calls")):
            left = lives(template, Path(folder) / mode, mode, "1")
            for life in left:
                judge(life)
            counts[kind] = len(left)
    print(json.dumps(counts | {"not whole": 0, "seconds": round(time.monotonic() - begin)}))  # noqa: T201


if __name__ == "__main__":
    main()
