"""
What tuning costs when there are more rows, and when another program keeps a core busy.

    python -m benchmarks.conditions

Four times the rows should take four times as long; a spinning process on one of the cores should cost its share and no
more. Whole processes of `contenders/ours.py` in turn, ratios of medians.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import side_by_side
from benchmarks.side_by_side import OURS, Result, middle
from benchmarks.speed import RESULTS, run
from benchmarks.speed_workloads import examples, prepare
from tunery.types import DEFAULT_BASE_MODEL

FEW, MANY = 24, 96
SPIN = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
while True:
    pass
"""


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        jobs = {
            rows: prepare(Path(folder) / str(rows), examples("W1", rows), 1, given.base_model) for rows in (FEW, MANY)
        }
        results = [result for turn in range(given.rounds) for result in _turn(turn + 1, jobs)]
    side_by_side.append(given.out, results)
    print(summary(results))


def summary(results: Sequence[Result]) -> str:
    few, many, busy = (
        [result for result in results if result["workload"] == name] for name in ("few rows", "many rows", "busy core")
    )
    growth = middle(many, "loop_seconds") / middle(few, "loop_seconds")
    kept = middle(busy, "tokens_per_second") / middle(few, "tokens_per_second")
    return (
        f"{MANY // FEW} × the rows cost {growth:.2f} × the time.\n"
        f"With a spinning process on one of {os.cpu_count()} cores the rate is {kept:.0%} of the undisturbed one."
    )


def _turn(turn: int, jobs: dict[int, Path]) -> Iterator[Result]:
    for name, rows in (("few rows", FEW), ("many rows", MANY)):
        yield {"workload": name, "round": turn, "contender": OURS, **run(OURS, jobs[rows], Path(sys.executable))}
    with busy_core():
        yield {"workload": "busy core", "round": turn, "contender": OURS, **run(OURS, jobs[FEW], Path(sys.executable))}


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with a process that does nothing else."""
    spinning = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--out", type=Path, default=RESULTS, help="raw results are added to this file")
    return parser


if __name__ == "__main__":
    main()
