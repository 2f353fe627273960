"""
Scores of answers by the shape of the outputs: for each row 0 to 1, and figures over all rows with their intervals.

Labels: accuracy and macro-F1. Short texts: exact match. JSON: the share of fields that are right, and whole rows. Long
texts: ROUGE-L and chrF. Knows texts that were read already (`shapes`); nothing of models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import Any

from tunery.data.outputs import OutputShape, Shape, parsed
from tunery.evaluation.report import Confusion, Figure, Interval

MAX_CONFUSION_LABELS = 30
METRICS = {
    OutputShape.LABELS: "accuracy",
    OutputShape.SHORT_TEXT: "exact_match",
    OutputShape.JSON: "fields",
    OutputShape.LONG_TEXT: "rouge_l",
}
TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "exact_match": "exact match",
    "fields": "fields right",
    "whole_rows": "whole rows right",
    "rouge_l": "ROUGE-L",
    "chrf": "chrF",
}


def row_scores(shape: Shape, expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Return for each row how right it is, 0 to 1, by the metric that counts."""
    match shape.kind:
        case OutputShape.JSON:
            return [_fields_right(want, got) for want, got in zip(expected, answers, strict=True)]
        case OutputShape.LONG_TEXT:
            return _rouge_l(expected, answers)
    return [float(want.strip() == got) for want, got in zip(expected, answers, strict=True)]


def figures(
    shape: Shape, expected: Sequence[str], answers: Sequence[str], scores: Sequence[float], seed: int = 0
) -> tuple[Figure, ...]:
    """Return the figures of a contender; `scores` are those of `row_scores`."""
    name, rows = METRICS[shape.kind], len(scores)
    mean = sum(scores) / rows
    match shape.kind:
        case OutputShape.LABELS:
            share = Figure(name, mean, wilson(round(sum(scores)), rows))
            return share, _macro_f1(expected, answers, seed)
        case OutputShape.JSON:
            whole = sum(score == 1 for score in scores)
            return (
                Figure(name, mean, bootstrap_mean(scores, seed)),
                Figure("whole_rows", whole / rows, wilson(whole, rows)),
            )
        case OutputShape.LONG_TEXT:
            near = _chrf(expected, answers)
            return (
                Figure(name, mean, bootstrap_mean(scores, seed)),
                Figure("chrf", sum(near) / rows, bootstrap_mean(near, seed)),
            )
    return (Figure(name, mean, wilson(round(sum(scores)), rows)),)


def confusion(shape: Shape, expected: Sequence[str], answers: Sequence[str]) -> Confusion | None:
    """Return which labels are taken for which, None if outputs are no labels or too many for a table."""
    labels = sorted({want.strip() for want in expected})
    if shape.kind is not OutputShape.LABELS or len(labels) > MAX_CONFUSION_LABELS:
        return None
    place = {label: number for number, label in enumerate(labels)}
    counts = [[0] * (len(labels) + 1) for _ in labels]
    for want, got in zip(expected, answers, strict=True):
        counts[place[want.strip()]][place.get(got, len(labels))] += 1
    return Confusion(tuple(labels), tuple(map(tuple, counts)))


def _macro_f1(expected: Sequence[str], answers: Sequence[str], seed: int) -> Figure:
    """Return the mean F1 over the labels that are expected; an answer that is none of them is a miss of its row."""
    import numpy as np

    labels = sorted({want.strip() for want in expected})
    place = {label: number for number, label in enumerate(labels)}
    wanted = np.array([place[want.strip()] for want in expected])
    said = np.array([place.get(got, len(labels)) for got in answers])

    def of(drawn: Any) -> Any:
        return np.array([_mean_f1(wanted[rows], said[rows], len(labels)) for rows in drawn])

    everything = np.arange(len(wanted))[None, :]
    return Figure("macro_f1", float(of(everything)[0]), bootstrap(of, len(wanted), seed))


def _mean_f1(wanted: Any, said: Any, labels: int) -> float:
    import numpy as np

    table = np.bincount(wanted * (labels + 1) + said, minlength=labels * (labels + 1)).reshape(labels, labels + 1)
    hits, there, claimed = np.diag(table), table.sum(axis=1), table[:, :labels].sum(axis=0)
    is_there = there > 0  # a resample may have no row of a rare label
    return float((2 * hits[is_there] / (there + claimed)[is_there]).mean())


def _fields_right(expected: str, answer: str) -> float:
    """Return the share of the fields of either side that both have with equal values."""
    want, got = parsed(expected), parsed(answer)
    if want is None:
        return float(expected.strip() == answer)
    if got is None:
        return 0.0
    wanted, given = dict(_leaves(want)), dict(_leaves(got))
    names = wanted.keys() | given.keys()
    right = sum(name in wanted and name in given and wanted[name] == given[name] for name in names)
    return right / len(names) if names else 1.0


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not items:
        # true is not 1, but 1 is 1.0
        yield path, (type(value).__name__ if isinstance(value, bool | dict | list) else "", _plain(value))
        return
    for name, inner in items:
        yield from _leaves(inner, (*path, name))


def _plain(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, dict | list) else value


def _rouge_l(expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=_Words())
    return [float(scorer.score(want, got)["rougeL"].fmeasure) for want, got in zip(expected, answers, strict=True)]


class _Words:
    """Words of any script: the tokenizer that comes with rouge-score knows a-z and digits only."""

    def tokenize(self, text: str) -> list[str]:
        import regex

        # scripts that are written without blanks count by the character
        return list(regex.findall(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+", text.casefold()))


def _chrf(expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    from sacrebleu.metrics.chrf import CHRF

    score: Callable[[str, list[str]], Any] = CHRF().sentence_score
    return [float(score(got, [want]).score) / 100 for want, got in zip(expected, answers, strict=True)]


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
