"""
What a team's database and workers do: the figures of docs/scale.md.

    python -m benchmarks.scale control       # claims and ends a second with many tasks queued, SQLite and PostgreSQL
    python -m benchmarks.scale takeover      # the worker of a task is killed or frozen, and another one continues
    python -m benchmarks.scale router        # 20,000 questions for 400 adapters on four engines, of which one is lost
    python -m benchmarks.scale cache         # questions for a million adapters, of which a thousand have room

Options after a name are those of its subject, see `--help` there. PostgreSQL comes from Debian's package and is started
here, with fsync on where its time is measured; the store is a folder or in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.scale.adapters import cache, router
from benchmarks.scale.queued import control
from benchmarks.scale.takeover import takeover

QUICK: dict[str, Callable[[], None]] = {"control": control, "takeover": takeover, "router": router, "cache": cache}


def main() -> None:
    for name in sys.argv[1:] or list(QUICK):
        QUICK[name]()


if __name__ == "__main__":
    main()
