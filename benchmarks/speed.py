"""
Speed and memory of tuning beside TRL + PEFT, measured in one run on the same rows.

    python -m benchmarks.speed                   three rounds of all contenders in turn; a table of ratios of medians
    python -m benchmarks.speed --workloads W1    one workload

Every contender is a whole process of its own and gets the same token ids in the same order, the same first adapter and
the same recipe, so the losses must agree. TRL + PEFT run in an environment of their own (`make peers`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import side_by_side
from benchmarks.side_by_side import OURS, PEERS, Result, by_contender, middle, times
from benchmarks.speed_workloads import WORKLOADS, examples, prepare
from tunery.types import DEFAULT_BASE_MODEL

RESULTS = side_by_side.RESULTS / "speed.jsonl"

CONTENDERS = {
    OURS: ("ours.py", ()),
    "tunery float32": ("ours.py", ("float32",)),
    "TRL + PEFT float32": ("trl_peft.py", ("float32",)),
    "TRL + PEFT bfloat16": ("trl_peft.py", ("bfloat16",)),
}
# whose losses have to agree: equal number formats, and the format we choose with the one that TRL starts with
COMPARED = (
    ("tunery float32", "TRL + PEFT float32"),
    (OURS, "TRL + PEFT bfloat16"),
    (OURS, "TRL + PEFT float32"),
)
HEADER = (
    "",
    "tokens/s",
    "ours is",
    "first step after",
    "whole process",
    "peak memory",
    "ours is",
    "mean loss per epoch",
)


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    side_by_side.require(given.peers)
    with tempfile.TemporaryDirectory() as folder:
        for name in given.workloads:
            results = measure(name, Path(folder), given)
            side_by_side.append(given.out, results)
            print(table(name, results), end="\n\n", flush=True)


def measure(name: str, folder: Path, given: argparse.Namespace) -> list[Result]:
    rows = examples(name, given.rows or WORKLOADS[name].rows)
    job = prepare(folder / name, rows, WORKLOADS[name].epoch_count, given.base_model)
    results = side_by_side.in_turn(given.rounds, given.contenders, lambda contender: run(contender, job, given.peers))
    return [{"workload": name, **result} for result in results]


def run(contender: str, job: Path, peers: Path) -> Result:
    script, options = CONTENDERS[contender]
    python = Path(sys.executable) if script == "ours.py" else peers
    return side_by_side.run_process(contender, python, script, [str(job), *options], {}, "tokens_per_second")


def table(name: str, results: Sequence[Result]) -> str:
    """Return medians, and ratios of medians to our own, as a Markdown table."""
    found = by_contender(results)
    ours = found.get(OURS)
    rows = [_row(contender, theirs, ours) for contender, theirs in found.items()]
    lines = [f"**{name}**: {WORKLOADS[name].about}", "", side_by_side.markdown(HEADER, rows)]
    if ours:
        lines += ["", f"Share of the machine's matrix-product rate in our steps: {middle(ours, 'rate_share'):.0%}."]
    for one, other in COMPARED:
        if one in found and other in found:
            off = largest_difference(found[one][0]["losses"], found[other][0]["losses"])
            lines.append(f"Loss after each epoch: {one} within {off:.2%} of {other}.")
    return "\n".join(lines)


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the largest relative difference of the losses of an epoch."""
    return max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))


def _row(contender: str, theirs: Sequence[Result], ours: Sequence[Result] | None) -> list[str]:
    speed, memory = middle(theirs, "tokens_per_second"), middle(theirs, "peak_bytes")
    return [
        contender,
        f"{speed:.0f}",
        times(ours and middle(ours, "tokens_per_second"), speed),
        f"{middle(theirs, 'seconds_to_first_step'):.1f} s",
        f"{middle(theirs, 'seconds'):.0f} s",
        f"{memory / 1e6:.0f} MB",
        times(ours and middle(ours, "peak_bytes"), memory),
        " ".join(f"{loss:.4f}" for loss in theirs[0]["losses"]),
    ]


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
