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
    python -m benchmarks.scale pictures      # queue time against load, answers against adapters in use

Without a name, all but the last four are run.

Options after a name are those of its subject, see its `--help`. PostgreSQL comes from Debian's package and is started
here, with fsync on where its time is measured; the store is a folder or in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

# the module of each subject; only what is measured is imported, since some need torch
QUICK = {"control": "queued", "takeover": "takeover", "router": "adapters", "cache": "adapters", "beats": "beats"}
LONG = {"group": "group", "million": "million", "department": "department", "pictures": "pictures"}
WITH_OPTIONS = {"beats", "million", "department", "pictures"}


def main() -> None:
    names = sys.argv[1:] or list(QUICK)
    if names[0] in WITH_OPTIONS:
        _subject(names[0])(names[1:])
        return
    for name in names:
        _subject(name)()


def _subject(name: str) -> Callable[..., None]:
    known = QUICK | LONG
    if name not in known:
        raise SystemExit(f"There is no subject {name!r}. Known are: {', '.join(known)}.")
    subject: Callable[..., None] = getattr(import_module(f"benchmarks.scale.{known[name]}"), name)
    return subject


if __name__ == "__main__":
    main()
