"""
kill -9 at every point of a library's life, and at each of its system calls that write (A-1); what is left is checked.

    python -m tests.chaos.kill_points    # a few minutes; prints one line of JSON; needs strace

Victim and checks are those of `tests/service/test_kill.py`, which takes every 3rd point and every 13th call.
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
    """Kill at every point; raise AssertionError if what a life left is not consistent."""
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
