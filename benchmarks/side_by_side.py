"""
What the benchmarks beside other programs have in common: contenders as whole processes in turn, raw results as lines of
JSON, tables of medians and ratios of medians.

Knows processes and numbers; nothing of what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
RESULTS = HERE / "results"
OURS = "tunery"

Result = dict[str, Any]


def require(peers: Path) -> None:
    """End the program if the environment of the peers is not there."""
    if not peers.exists():
        sys.exit("The peers need an environment of their own: make peers")


def in_turn(rounds: int, contenders: Sequence[str], run: Callable[[str], Result]) -> list[Result]:
    """Run every contender `rounds` times, one after the other in turn; each result says which round it is of."""
    turns = [(turn, contender) for turn in range(1, rounds + 1) for contender in contenders]
    return [{"round": turn, "contender": contender, **run(contender)} for turn, contender in turns]


def run_process(
    contender: str, python: Path, script: str, options: Sequence[str], environment: Mapping[str, str], figure: str
) -> Result:
    """Run a script of `contenders/` as a process of its own; it prints its result as the last line."""
    start = time.time()
    own = {"STARTED": str(start), "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(python), "-W", "ignore", str(HERE / "contenders" / script), *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **own, **environment},
    )
    if done.returncode:
        sys.exit(f"{contender} has failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    print(f"{contender:20} {result[figure]:7.0f} tokens/s", file=sys.stderr, flush=True)
    return {**result, "seconds": round(time.time() - start, 2)}


def append(file: Path, results: Iterable[Result]) -> None:
    """Add results to a file, a line each."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.writelines(json.dumps(result) + "\n" for result in results)


def read(file: Path) -> list[Result]:
    """Return the results in a file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def by_contender(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each contender, in the order in which they first ran."""
    names = dict.fromkeys(str(result["contender"]) for result in results)
    return {name: [result for result in results if result["contender"] == name] for name in names}


def middle(results: Sequence[Result], figure: str) -> float:
    """Return the median of a figure."""
    return median(float(result[figure]) for result in results)


def times(ours: float | None, theirs: float) -> str:
    """Return how many times theirs ours is, as a cell of a table; empty without ours."""
    return f"{ours / theirs:.2f} ×" if ours else ""


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell != "---" else cell for cell in line) + "|" for line in lines)
