"""
How long a user waits from `tunery tune` to the first step, the base being there.

    python -m benchmarks.start --rounds 5

The command as a user gives it, on 20 tickets, in a data folder of its own that has the base; the time of the first step
is what the curve says. Knows the command line and its JSON; nothing of the engine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from statistics import median

from benchmarks import side_by_side
from benchmarks.side_by_side import Result
from benchmarks.speed_workloads import examples
from tunery import config
from tunery.types import DEFAULT_BASE_MODEL

RESULTS = side_by_side.RESULTS / "start.jsonl"
ROWS = 20


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    results = [{"round": turn + 1, **started(given.base_model)} for turn in range(given.rounds)]
    side_by_side.append(given.out, results)
    print(summary(results))


def started(base_model: str) -> Result:
    """Tune once, and return the seconds until the first step and until the end."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        rows.write_text("".join(json.dumps(asdict(row)) + "\n" for row in examples("W4", ROWS)), "utf-8")
        (Path(folder) / "bases").symlink_to(config.data_folder() / "bases")
        command = [sys.executable, "-m", "tunery", "tune", str(rows), "--base-model", base_model]
        start = time.time()
        done = subprocess.run(
            [*command, "--epochs", "1", "--hold-out", "0", "--json", "--yes"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TUNERY_HOME": folder},
        )
        first = json.loads(done.stdout)["tuning_task"]["snapshots"][0]["compute_time"]
        end = time.time()
    return {"first_step_seconds": datetime.fromisoformat(first).timestamp() - start, "seconds": end - start}


def summary(results: Sequence[Result]) -> str:
    first = sorted(result["first_step_seconds"] for result in results)
    whole = median(result["seconds"] for result in results)
    return (
        f"First step {median(first):.1f} s after the command ({first[0]:.1f} to {first[-1]:.1f}, {len(first)} rounds);"
        f" {ROWS} rows, one epoch, done after {whole:.1f} s."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser


if __name__ == "__main__":
    main()
