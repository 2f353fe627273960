"""
Intervals that are honest for few rows: Wilson and Tango for shares, the bootstrap for everything else.

All at 95 % confidence; random draws come from the seed, so equal rows give equal intervals. Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

from tunery.engine.evaluation.report import Interval

Z = NormalDist().inv_cdf(0.975)
RESAMPLES = 2_000
_STEPS = 60  # of a bisection on [-1, 1]: exact to 2e-18


def wilson(right: int, rows: int) -> Interval:
    """Return the interval of a share of `right` in `rows` ≥ 1 (Wilson 1927, the score interval)."""
    share, spread = right / rows, Z * Z / rows
    middle = (share + spread / 2) / (1 + spread)
    reach = Z * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def paired_shares(wins: int, losses: int, rows: int) -> Interval:
    """
    Return the interval of the difference of two shares measured on the same rows (Tango 1998, the score interval).

    `wins` are rows that only the first has right, `losses` those that only the second has right. Without any of
    either, it still leaves room for those that so few rows do not show.
    """
    difference = (wins - losses) / rows

    def limit(sign: float) -> float:
        near, far = difference, sign
        for _ in range(_STEPS):
            middle = (near + far) / 2
            if abs(_tango(wins, losses, rows, middle)) <= Z:
                near = middle
            else:
                far = middle
        return near

    return Interval(limit(-1.0), limit(1.0))


def mcnemar(wins: int, losses: int) -> float:
    """Return the two-sided p-value of the exact McNemar test: wins and losses are equally likely."""
    decided, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(decided, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**decided))


def bootstrap_mean(values: Any, seed: int = 0) -> Interval:
    """Return the interval of the mean of some values, one for each row."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    return bootstrap(lambda drawn: array[drawn].mean(axis=1), len(array), seed)


def bootstrap(statistic: Callable[[Any], Any], rows: int, seed: int = 0) -> Interval:
    """
    Return the interval of a statistic by drawing rows with replacement.

    `statistic` takes places of rows `[R, n]` and returns `[R]` values. The percentiles are moved outwards as Student's
    t is wider than the normal curve ("expanded percentile", Hesterberg 2015): else 20 rows would look surer than they
    are.
    """
    import numpy as np

    if rows < 2:
        return Interval(-math.inf, math.inf)
    found = statistic(_drawn(rows, seed))
    tail = NormalDist().cdf(-_student(rows) * math.sqrt(rows / (rows - 1)))
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(float(low), float(high))


def bootstrap_p_value(differences: Any, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean difference of 0, from paired differences."""
    import numpy as np

    array = np.asarray(differences, dtype=float)
    means = array[_drawn(len(array), seed)].mean(axis=1)
    return float(min(1.0, 2 * min((means <= 0).mean(), (means >= 0).mean())))


def _drawn(rows: int, seed: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed).integers(0, rows, (RESAMPLES, rows))


def _student(rows: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, rows - 1))


def _tango(wins: int, losses: int, rows: int, difference: float) -> float:
    """Return how many standard errors the data are from a true difference."""
    quadratic = 2 * rows
    linear = -wins - losses + (2 * rows - wins + losses) * difference
    constant = -losses * difference * (1 - difference)
    lost = (math.sqrt(max(linear * linear - 4 * quadratic * constant, 0.0)) - linear) / (2 * quadratic)
    variance = rows * (2 * lost + difference * (1 - difference))
    distance = wins - losses - rows * difference
    if variance <= 0:
        return 0.0 if abs(distance) < 1e-9 else math.copysign(math.inf, distance)
    return float(distance / math.sqrt(variance))
