"""
How many of the labels that were made wrong on purpose data surgery finds, and how many of its doubts are right.

    python -m benchmarks.surgery               TREC-6, 200 rows, 5 % of the labels exchanged
    python -m benchmarks.surgery --table       the figures at each limit, from the results file

The losses of all rows are kept in the results file, so that limits can be compared without tuning again.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality_data import ROOT, load_task
from tunery.types import Hyperparameters, TuningExample

RESULTS = ROOT / "benchmarks" / "results" / "surgery.jsonl"
FLIPPED_SHARE = 0.05
LIMITS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surgery", description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args(arguments)
    for seed in [] if given.table else given.seeds:
        result = measured(given.rows, given.folds, given.epochs, seed)
        with given.out.open("a") as file:
            file.write(json.dumps(result) + "\n")
    for line in given.out.read_text().splitlines():
        show(json.loads(line))


def measured(rows: int, folds: int, epochs: int, seed: int) -> dict[str, Any]:
    """Return the losses of rows of TREC-6, some of them with a wrong label, under models that have not seen them."""
    from tunery.resampling import Repeated, cross_validated_losses

    examples, flipped = spoilt(load_task("trec6").sample(rows, seed)[0], seed)
    begin = time.perf_counter()
    how = Repeated(hyperparameters=Hyperparameters(epoch_count=epochs), seed=seed)
    losses = cross_validated_losses(examples, folds, repeated=how)
    settings = {"rows": rows, "folds": folds, "epochs": epochs, "seed": seed}
    seconds = round(time.perf_counter() - begin, 1)
    return {**settings, "flipped": flipped, "losses": [round(loss, 4) for loss in losses], "seconds": seconds}


def spoilt(examples: Sequence[TuningExample], seed: int) -> tuple[list[TuningExample], list[int]]:
    """Return the examples with a wrong label in some, and the places of those."""
    drawn = random.Random(seed + 1000)
    labels = sorted({example.output for example in examples})
    flipped = sorted(drawn.sample(range(len(examples)), round(FLIPPED_SHARE * len(examples))))
    changed = list(examples)
    for place in flipped:
        wrong = drawn.choice([label for label in labels if label != examples[place].output])
        changed[place] = TuningExample(examples[place].text_input, wrong)
    return changed, flipped


def scored(losses: Sequence[float], flipped: Sequence[int], limit: float) -> tuple[float, float, int]:
    """Return recall, precision and number of the rows with a loss of at least `limit`."""
    doubted = {place for place, loss in enumerate(losses) if loss >= limit}
    found = len(doubted & set(flipped))
    return found / len(flipped), found / len(doubted) if doubted else 1.0, len(doubted)


def show(result: dict[str, Any]) -> None:
    settings = ", ".join(f"{name} {result[name]}" for name in ("rows", "folds", "epochs", "seed"))
    print(f"{settings}, {len(result['flipped'])} wrong labels, {result['seconds']:.0f} s")
    for limit in LIMITS:
        recall, precision, doubted = scored(result["losses"], result["flipped"], limit)
        print(f"  loss from {limit:.0f}: {doubted:3} rows doubted, recall {recall:.2f}, precision {precision:.2f}")


if __name__ == "__main__":
    main()
