"""
The data curve: short tunings on nested parts of a dataset, each measured on the same rows, to say what more rows bring.

Works in this process with the base that `tune` keeps in memory. The fit is `evaluation/growth.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from tunery.data.dataset import Dataset, hold_out
from tunery.data.outputs import shape_of
from tunery.engine.cross_validation import Repeated
from tunery.engine.evaluation.contest import MAX_ROWS, drawn, output_limit
from tunery.engine.evaluation.growth import LEAST_ROWS, Growth, Measured, grow
from tunery.engine.evaluation.metrics import METRICS, row_scores
from tunery.errors import InvalidArgument
from tunery.types import TuningExample

SHARES = (0.25, 0.5, 1.0)  # of the rows that are not held out
TESTED_SHARE = 0.3
REPEATS = 1


def data_curve(
    dataset: Dataset | Iterable[TuningExample],
    *,
    shares: Sequence[float] = SHARES,
    repeats: int = REPEATS,
    repeated: Repeated | None = None,
) -> Growth:
    """
    Return how the score grows with the rows: `len(shares)` × `repeats` tunings.

    The rows of a smaller part are among those of a larger one; another repeat draws other rows, to tune on and to test.
    Raises InvalidArgument for fewer than LEAST_ROWS rows, fewer than three shares, and what `tune` raises.
    """
    examples = (dataset if isinstance(dataset, Dataset) else Dataset.from_records(dataset)).examples
    if len(examples) < LEAST_ROWS:
        raise InvalidArgument(f"A data curve needs at least {LEAST_ROWS} rows, not {len(examples)}.")
    how = repeated or Repeated()
    shape = shape_of([example.output for example in examples])
    measured: list[Measured] = []
    for repeat in range(repeats):
        pool, test = hold_out(examples, TESTED_SHARE, how.seed + repeat)
        order = list(pool)
        Random(how.seed + repeat).shuffle(order)
        asked = [test[at] for at in drawn(len(test), MAX_ROWS, how.seed)]
        limit = output_limit(examples)
        for share in sorted(shares):
            part = order[: max(2, round(share * len(order)))]
            answering = how.tune(part, len(measured) + 1).answering()
            usable = [row for row in asked if answering.fits(row.text_input, limit)]
            if not usable:
                raise InvalidArgument("No row can be tested: the base takes none with its answer.")
            said = answering.answers([row.text_input for row in usable], limit)
            scores = row_scores(shape, [row.output for row in usable], [shape.exact(answer) for answer in said])
            measured.append(Measured(len(part), sum(scores) / len(scores), len(scores)))
    return grow(measured, METRICS[shape.kind], seed=how.seed)
