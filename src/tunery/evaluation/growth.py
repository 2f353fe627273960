"""
Fits a learning curve, the score by the number of training rows, and estimates what more rows would bring.

The error is modelled as `floor + scale × rows^-power`. Intervals come from refits to scores redrawn within their
uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunery.errors import InvalidArgument
from tunery.evaluation.report import Interval
from tunery.evaluation.verdict import points

LEAST_SIZES = 3
LEAST_ROWS = 40  # with these the smallest part has 7 rows and the test 12
REFITS = 300
# From Google's page "Intro to model tuning"
RECOMMENDED_ROWS = {"classification": "100+", "summarization": "100-500+", "document search": "100+"}
_POWERS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)  # seen in the literature: 0.1 to 1
_FLOORS = tuple(share / 20 for share in range(20))  # of the smallest error that was measured


@dataclass(frozen=True, slots=True)
class Measured:
    """The score, 0 to 1, of a model tuned on `rows` rows and tested on `tested` others."""

    rows: int
    score: float
    tested: int


@dataclass(frozen=True, slots=True)
class Promise:
    """The expected score with more rows, and its gain over the largest measured size."""

    rows: int
    score: float
    gain: float
    interval: Interval  # of the gain
    text: str


@dataclass(frozen=True, slots=True)
class Growth:
    """The measured sizes, and the promises of 50 more, twice and four times as many rows."""

    measured: tuple[Measured, ...]
    metric: str
    promises: tuple[Promise, ...]
    advice: str


def grow(measured: Sequence[Measured], metric: str, *, seed: int = 0) -> Growth:
    """Return the fitted curve; raises InvalidArgument for fewer than LEAST_SIZES different sizes."""
    if len({one.rows for one in measured}) < LEAST_SIZES:
        raise InvalidArgument(f"A data curve needs at least {LEAST_SIZES} different sizes.")
    ordered = sorted(measured, key=lambda one: one.rows)
    rows = ordered[-1].rows
    targets = (rows + 50, 2 * rows, 4 * rows)
    sizes = [rows, *targets]
    curve = _predicted(ordered, [1 - one.score for one in ordered], sizes)
    drawn = [_predicted(ordered, errors, sizes) for errors in _redrawn(ordered, seed)]
    promises = tuple(_promise(at, rows, sizes, curve, drawn) for at in range(1, len(sizes)))
    return Growth(tuple(ordered), metric, promises, _advice(promises[0], promises[1]))


def _promise(at: int, rows: int, sizes: Sequence[int], curve: Any, drawn: Sequence[Any]) -> Promise:
    import numpy as np

    gain = float(curve[0] - curve[at])
    low, high = np.quantile([errors[0] - errors[at] for errors in drawn], [0.025, 0.975])
    more = sizes[at] - rows
    text = f"{more} more rows: about {points(gain)} points ({points(low)} to {points(high)})"
    return Promise(sizes[at], float(1 - curve[at]), gain, Interval(float(low), float(high)), text)


def _advice(soon: Promise, doubled: Promise) -> str:
    if doubled.interval.high < 0.03:
        return "More rows of this kind will hardly help. Better rows or a different task description may."
    if soon.interval.low > 0.01:
        return "More rows will help."
    return "More rows may help; the ranges are too wide to tell."


def _predicted(measured: Sequence[Measured], errors: Sequence[float], sizes: Sequence[int]) -> Any:
    """Return the error at each size on the best-fitting curve: least squares, weighted by tested rows."""
    import numpy as np

    rows = np.array([one.rows for one in measured], dtype=float)
    error, weight = np.array(errors), np.array([one.tested for one in measured], dtype=float)
    best, found = np.inf, np.full(len(sizes), error.mean())
    for floor in {share * max(error.min(), 0.0) for share in _FLOORS}:
        for power in _POWERS:
            falling = rows**-power
            scale = max(0.0, float((weight * falling * (error - floor)).sum() / (weight * falling**2).sum()))
            distance = float((weight * (error - floor - scale * falling) ** 2).sum())
            if distance < best:
                best, found = distance, floor + scale * np.array(sizes, dtype=float) ** -power
    return found.clip(0, 1)


def _redrawn(measured: Sequence[Measured], seed: int) -> list[list[float]]:
    """Return REFITS sets of errors, drawn from what the tested rows allow."""
    import numpy as np

    random = np.random.default_rng(seed)
    # half a success and half a failure more, so that a score of 0 or 1 is not taken as certain
    shares = [(one.score * one.tested + 0.5, (1 - one.score) * one.tested + 0.5) for one in measured]
    return [[1 - float(random.beta(right, wrong)) for right, wrong in shares] for _ in range(REFITS)]
