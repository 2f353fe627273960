"""
Which rows to label next: 20 labelled rows of TREC-6 and 40 more, chosen in two rounds or drawn at random.

    python -m benchmarks.data_next --draws 0,1,2,3,4
    python -m benchmarks.data_next --table

The rows are chosen among the 400 that follow the 20 in a draw; the random ones are the first 40 of these. A regression
on the base's mean states says how unsure the label of each input is. The next one chosen is the one whose neighbourhood
adds most unsure inputs to those covered so far: weighted facility location, solved greedily.

Each finished cell is one line of the results file; holds scores, no rows and no answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from benchmarks.few_rows import measure, read
from benchmarks.quality_data import ROOT, Task, load_task
from tunery.types import TuningExample

RESULTS = ROOT / "benchmarks" / "results" / "data_next.jsonl"
LABELLED, POOL, ROUND, ROUNDS = 20, 400, 20, 2
WAYS = ("random", "chosen")
REACH = 1.0  # squared distance of unit vectors at which a likeness has fallen to 1/e
REGRESSION_C = 10.0


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    if not given.table:
        task = load_task(given.task)
        for draw in map(int, given.draws.split(",")):
            for way in WAYS:
                run({"task": task.name, "way": way, "draw": draw}, task, given.out)
    sys.stdout.write(table(read(given.out)) + "\n")


def run(cell: dict[str, object], task: Task, out: Path) -> None:
    """Measure a cell that the results file does not hold yet."""
    if any(result["cell"] == cell for result in read(out)):
        return
    draw = int(str(cell["draw"]))
    drawn, test = task.sample(LABELLED + POOL, draw)
    train = chosen(task, drawn) if cell["way"] == "chosen" else drawn[: LABELLED + ROUND * ROUNDS]
    counts = dict(Counter(row.output for row in train).most_common())
    result = {"cell": cell, "labels": counts, **measure(task, train, test, {}, draw)}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        file.write(json.dumps(result) + "\n")


def chosen(task: Task, drawn: Sequence[TuningExample]) -> list[TuningExample]:
    """Return the first rows and those that are chosen among the others, in rounds, each with the labels of the last."""
    import tunery
    from tunery.types import DEFAULT_BASE_MODEL

    base = tunery.load(DEFAULT_BASE_MODEL).answering()
    vectors = unit(base.mean_states([row.text_input for row in drawn], task.instructions))
    labelled, pool = list(range(LABELLED)), list(range(LABELLED, len(drawn)))
    for _ in range(ROUNDS):
        found = choose([drawn[at].output for at in labelled], vectors[labelled], vectors[pool], ROUND)
        labelled += [pool[place] for place in found]
        pool = [at for at in pool if at not in labelled]
    return [drawn[at] for at in labelled]


def choose(labels: Sequence[str], known: Any, pool: Any, count: int) -> list[int]:
    """
    Return the places of the inputs to label in the pool, the most useful first.

    `known` `[N, D]` and `pool` `[P, D]` are unit vectors; `labels` are those of the known ones, at least two different.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=REGRESSION_C, max_iter=500).fit(known, labels)
    doubts = 1 - regression.predict_proba(pool).max(axis=1)  # (P)
    likeness, covered = _likeness(pool, pool), _likeness(pool, known).max(axis=1)  # (P, P), (P)
    places: list[int] = []
    for _ in range(min(count, len(pool))):
        gains = doubts @ np.maximum(likeness - covered[:, None], 0)
        gains[places] = -1
        places.append(int(gains.argmax()))
        covered = np.maximum(covered, likeness[:, places[-1]])
    return places


def unit(states: Sequence[Sequence[float]]) -> Any:
    """Return the vectors, each dimension with mean 0 and deviation 1, then each vector with length 1."""
    import numpy as np

    vectors = np.asarray(states, dtype=np.float64)
    scaled = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def _likeness(some: Any, others: Any) -> Any:
    """Return how alike unit vectors are, `[some, others]`, at most 1."""
    import numpy as np

    return np.exp(-(2 - 2 * some @ others.T) / REACH)


def table(results: Sequence[dict[str, dict[str, object]]]) -> str:
    """Return Markdown: a column for each draw, and the mean."""
    scores = {(str(each["cell"]["way"]), int(str(each["cell"]["draw"]))): float(str(each["label"])) for each in results}
    draws = sorted({draw for _, draw in scores})
    lines = [f"| rows | {' | '.join(f'draw {draw}' for draw in draws)} | mean |", "|" + "---|" * (len(draws) + 2)]
    for way in WAYS:
        found = [scores[way, draw] for draw in draws if (way, draw) in scores]
        cells = [f"{scores[way, draw]:.3f}" if (way, draw) in scores else "" for draw in draws]
        if found:
            lines.append(f"| {way} | {' | '.join(cells)} | {mean(found):.3f} ± {pstdev(found):.3f} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_next", description="Which rows to label next.")
    parser.add_argument("--task", default="trec6", help="of the quality benchmark, with labels")
    parser.add_argument("--draws", default="0,1,2,3,4", help="of the labelled rows and those to choose from")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file; finished cells are not measured again")
    parser.add_argument("--table", action="store_true", help="only print the table of the results file")
    return parser


if __name__ == "__main__":
    main()
