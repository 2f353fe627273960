"""
Speed and memory of tuning beside TRL + PEFT, measured in one run on the same rows.

    python -m benchmarks.speed                   three rounds of all contenders in turn; a table of ratios of medians
    python -m benchmarks.speed --workloads W1    one workload

Every contender is a whole process of its own and gets the same token ids in the same order, the same first adapter and
the same recipe, so the losses must agree. TRL + PEFT run in an environment of their own (`make peers`).
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
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed_workloads import WORKLOADS, examples, prepare
from tunery.types import DEFAULT_BASE_MODEL

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
RESULTS = HERE / "results" / "speed.jsonl"

OURS = "tunery"
CONTENDERS = {
    OURS: ("ours.py", ()),
    "TRL + PEFT float32": ("trl_peft.py", ("float32",)),
    "TRL + PEFT bfloat16": ("trl_peft.py", ("bfloat16",)),
}
REFERENCE = "TRL + PEFT float32"  # whose loss ours has to agree with

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    if not given.peers.exists():
        sys.exit("TRL + PEFT need an environment of their own: make peers")
    given.out.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in given.workloads:
            results = measure(name, Path(folder), given)
            with given.out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(result) + "\n" for result in results)
            print(table(name, results), end="\n\n", flush=True)


def measure(name: str, folder: Path, given: argparse.Namespace) -> list[Result]:
    """Run every contender `rounds` times, one after the other in turn."""
    rows = examples(name, given.rows or WORKLOADS[name].rows)
    job = prepare(folder / name, rows, WORKLOADS[name].epoch_count, given.base_model)
    turns = [(turn, contender) for turn in range(1, given.rounds + 1) for contender in given.contenders]
    return [{"workload": name, "round": turn, **run(contender, job, given.peers)} for turn, contender in turns]


def run(contender: str, job: Path, peers: Path) -> Result:
    """Run one contender as a process of its own; it prints its result as the last line."""
    script, options = CONTENDERS[contender]
    python = sys.executable if contender == OURS else str(peers)
    start = time.time()
    done = subprocess.run(
        [python, "-W", "ignore", str(HERE / "contenders" / script), str(job), *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "STARTED": str(start), "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        sys.exit(f"{contender} has failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    result["seconds"] = round(time.time() - start, 2)
    print(f"{contender:20} {result['tokens_per_second']:7.0f} tokens/s", file=sys.stderr, flush=True)
    return {"contender": contender, **result}


def table(name: str, results: Sequence[Result]) -> str:
    """Return medians, and ratios of medians to our own, as a Markdown table."""
    lines = [
        f"**{name}**: {WORKLOADS[name].about}",
        "",
        "| | tokens/s | ours is | first step after | whole process | peak memory | ours is | mean loss per epoch |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_contender = {c: [r for r in results if r["contender"] == c] for c in CONTENDERS}
    ours = by_contender[OURS]
    for contender, theirs in by_contender.items():
        if theirs:
            lines.append(_row(contender, theirs, ours))
    if ours:
        lines += ["", f"Share of the machine's matrix-product rate in our steps: {_median(ours, 'rate_share'):.0%}."]
    if ours and by_contender[REFERENCE]:
        off = largest_difference(ours[0]["losses"], by_contender[REFERENCE][0]["losses"])
        lines.append(f"Loss after each epoch: within {off:.2%} of {REFERENCE}.")
    return "\n".join(lines)


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the largest relative difference of the losses of an epoch."""
    return max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))


def _row(contender: str, theirs: Sequence[Result], ours: Sequence[Result]) -> str:
    speed, memory = _median(theirs, "tokens_per_second"), _median(theirs, "peak_bytes")
    losses = " ".join(f"{loss:.4f}" for loss in theirs[0]["losses"])
    faster = f"{_median(ours, 'tokens_per_second') / speed:.2f} ×" if ours else ""
    smaller = f"{_median(ours, 'peak_bytes') / memory:.2f} ×" if ours else ""
    return (
        f"| {contender} | {speed:.0f} | {faster} | {_median(theirs, 'seconds_to_first_step'):.1f} s"
        f" | {_median(theirs, 'seconds'):.0f} s | {memory / 1e6:.0f} MB | {smaller} | {losses} |"
    )


def _median(results: Sequence[Result], name: str) -> float:
    return median(float(result[name]) for result in results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", type=_names, default=list(WORKLOADS), help=", ".join(WORKLOADS))
    parser.add_argument("--contenders", type=_names, default=list(CONTENDERS), help=", ".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="rows of a workload; by default as many as it has in the records")
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--peers", type=Path, default=PEERS, help="Python of the environment with TRL and PEFT")
    parser.add_argument("--out", type=Path, default=RESULTS, help="raw results are added to this file")
    return parser


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
