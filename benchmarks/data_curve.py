"""
Whether a data curve keeps its promises: drawn on 100 rows, then as many rows as it speaks of are really tuned on.

    python -m benchmarks.data_curve                            TREC-6 and SMS, seed 0; goes on where it stopped
    python -m benchmarks.data_curve --tasks trec6 --seeds 1,2  others

A promise is kept if the gain that was measured lies within its 95 % range. Scores after real tuning are of 300 rows
that neither the curve nor the tuning has seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.quality_data import ROOT, load_task
from tunery.types import TuningExample

RESULTS = ROOT / "benchmarks" / "results" / "data_curve.jsonl"
ROWS = 100  # that the curve is drawn on; 70 of them are tuned on
POOL = 400
MULTIPLES = (1, 2, 4)  # of the rows tuned on, those of which the curve speaks


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_curve", description=__doc__)
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=["trec6", "sms"])
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    done = {(found["task"], found["seed"]) for found in map(json.loads, lines)}
    for task in given.tasks:
        for seed in given.seeds:
            if (task, seed) not in done:
                result = measured(task, seed)
                with given.out.open("a") as file:
                    file.write(json.dumps(result) + "\n")
    for line in given.out.read_text().splitlines():
        show(json.loads(line))


def measured(name: str, seed: int) -> dict[str, Any]:
    """Return what the curve of ROWS rows says, and the scores after tuning on as many rows as it speaks of."""
    import tunery
    from tunery.resampling import Repeated

    begin = time.perf_counter()
    train, test = load_task(name).sample(POOL, seed)
    growth = tunery.data_curve(train[:ROWS], repeated=Repeated(seed=seed))
    rows = growth.measured[-1].rows
    scores = {multiple * rows: score_of(train[: multiple * rows], test, seed) for multiple in MULTIPLES}
    seconds = round(time.perf_counter() - begin, 1)
    return {"task": name, "seed": seed, "curve": asdict(growth), "scores": scores, "seconds": seconds}


def score_of(rows: Sequence[TuningExample], test: Sequence[TuningExample], seed: int) -> float:
    """Return the share of test rows that a model tuned on these rows answers exactly."""
    import tunery

    model = tunery.tune(rows, seed=seed, library=False)
    answers = model.generate([row.text_input for row in test], max_output_tokens=16)
    return sum(answer.strip() == row.output for answer, row in zip(answers, test, strict=True)) / len(test)


def kept(result: dict[str, Any]) -> list[tuple[int, float, float, float, bool]]:
    """Return rows, low and high end of each promise that was tried, the gain measured, and whether it lies between."""
    scores = {int(rows): score for rows, score in result["scores"].items()}
    now = min(scores)
    found = []
    for promise in result["curve"]["promises"]:
        if promise["rows"] in scores:
            gain = scores[promise["rows"]] - scores[now]
            low, high = promise["interval"]["low"], promise["interval"]["high"]
            found.append((promise["rows"], low, high, gain, low <= gain <= high))
    return found


def show(result: dict[str, Any]) -> None:
    sys.stdout.write(f"{result['task']}, seed {result['seed']}: {result['scores']}, {result['curve']['advice']}\n")
    for rows, low, high, gain, is_kept in kept(result):
        sys.stdout.write(
            f"  {rows} rows: {low:+.2f} to {high:+.2f}, was {gain:+.2f}: {'kept' if is_kept else 'broken'}\n"
        )


if __name__ == "__main__":
    main()
