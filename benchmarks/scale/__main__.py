"""
What a team's database and workers do: the figures of docs/scale.md.

    python -m benchmarks.scale control       # claims and ends a second with many tasks queued, SQLite and PostgreSQL
    python -m benchmarks.scale takeover      # the worker of a task is killed or frozen, and another one continues
    python -m benchmarks.scale router        # 20,000 questions for 400 adapters on four engines, of which one is lost
    python -m benchmarks.scale cache         # questions for a million adapters, of which a thousand have room
    python -m benchmarks.scale beats         # what reports and leases of 10,000 jobs cost PostgreSQL
    python -m benchmarks.scale group         # four small tasks in turn, and in shared passes; with the default base
    python -m benchmarks.scale million       # lists, reads and a create among a million models
    python -m benchmarks.scale department    # 200 workers, users and their questions in simulated time, with faults

Without a name, all but the last three are run.

Options after a name are those of its subject, see its `--help`. PostgreSQL comes from Debian's package and is started
here, with fsync on where its time is measured; the store is a folder or in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks.scale.adapters import cache, router
from benchmarks.scale.beats import beats
from benchmarks.scale.department import department
from benchmarks.scale.group import group
from benchmarks.scale.million import million
from benchmarks.scale.queued import control
from benchmarks.scale.takeover import takeover

QUICK: dict[str, Callable[[], None]] = {
    "control": control,
    "takeover": takeover,
    "router": router,
    "cache": cache,
    "beats": beats,
}
SLOW: dict[str, Callable[[], None]] = {"group": group}
WITH_OPTIONS: dict[str, Callable[[Sequence[str]], None]] = {
    "beats": beats,
    "million": million,
    "department": department,
}


def main() -> None:
    names = sys.argv[1:] or list(QUICK)
    if names[0] in WITH_OPTIONS:
        WITH_OPTIONS[names[0]](names[1:])
        return
    for name in names:
        (QUICK | SLOW)[name]()


if __name__ == "__main__":
    main()
