"""
Probabilities that mean what they say: whether a label given with 90 % is right nine times in ten.

One temperature per model divides the logarithms of its label probabilities; it changes no answer. It is fitted on rows
that the model was not tuned on, and each row is judged with the temperature that fits the other rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunery.evaluation.report import Calibration, ReliabilityBin, Threshold

LEAST_ROWS = 20  # with fewer, the temperature would follow single rows
TELLING_ROWS = 50  # with fewer, even true probabilities seem 9 to 13 points off
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_FOLDS = 5
_BINS = 10
# Standard deviation of the logarithm of a temperature around 0, before any row is seen: without it, a fit on 20 rows
# makes true probabilities 2 to 9 points false (docs/experiments.md)
_PRIOR_SPREAD = 0.5
_LEAST_SHARPNESS, _MOST_SHARPNESS = 0.05, 8.0  # 1 / temperature
_PLACES = 40  # looked at before the search, which needs a single valley
_STEPS = 40  # of a golden section; exact to 1e-9
_GOLDEN = (math.sqrt(5) - 1) / 2
_FLOOR = 1e-300

Chances = Mapping[str, float]  # the probability of each label


def calibrate(expected: Sequence[str], chances: Sequence[Chances]) -> Calibration | None:
    """Return the temperature and how far the probabilities can be trusted; None for fewer than LEAST_ROWS."""
    rows = [(want, given) for want, given in zip(expected, chances, strict=True) if given]
    if len(rows) < LEAST_ROWS:
        return None
    judged: list[tuple[str, Chances]] = []
    for fold in range(_FOLDS):
        temperature = _temperature([row for at, row in enumerate(rows) if at % _FOLDS != fold])
        judged += [(want, scaled(given, temperature)) for want, given in rows[fold::_FOLDS]]
    pairs, plain = _confidences(judged), _confidences(rows)
    return Calibration(
        rows=len(rows),
        temperature=_temperature(rows),
        error=calibration_error(pairs),
        uncalibrated_error=calibration_error(plain),
        brier=sum(_brier(want, given) for want, given in judged) / len(rows),
        thresholds=tuple(_threshold(at, pairs) for at in THRESHOLDS),
        bins=reliability(pairs),
    )


def read_calibration(document: Mapping[str, Any]) -> Calibration:
    """Return the calibration in the document of an evaluation."""
    thresholds = tuple(Threshold(**each) for each in document["thresholds"])
    bins = tuple(ReliabilityBin(**each) for each in document.get("bins", ()))
    return Calibration(**{**document, "thresholds": thresholds, "bins": bins})


def sentence(found: Calibration) -> str:
    """Say how far the probabilities can be trusted."""
    if found.rows < TELLING_ROWS:
        return (
            f"{found.rows} rows are too few to tell how far the probabilities of labels can be trusted;"
            f" {TELLING_ROWS} are enough."
        )
    off, plain = round(100 * found.error), round(100 * found.uncalibrated_error)
    how = f"they are corrected with a temperature of {found.temperature:.2f}"
    if off < plain:
        effect = f"{how}, without which it would be {plain} points"
    elif off == plain:
        effect = f"{how}, which changes nothing on these rows"
    else:
        effect = f"{how}, but these rows are better off without it, at {plain} points"
    return (
        f"The probabilities of labels are {off} point{'s' * (off != 1)} off on average, measured on {found.rows} rows;"
        f" {effect}. Their Brier score is {found.brier:.2f} (0 is best)."
    )


HEADER = ("ANSWER ONLY ABOVE", "ROWS ANSWERED", "OF THESE RIGHT")


def cells(found: Calibration) -> list[tuple[str, str, str]]:
    """Return the rows below HEADER."""
    return [
        (f"{each.probability:.0%}", f"{each.answered:.0%}", "-" if each.right is None else f"{each.right:.0%}")
        for each in found.thresholds
    ]


def scaled(chances: Chances, temperature: float) -> dict[str, float]:
    """Return probabilities whose logarithms were divided by a temperature, in the same order."""
    logs = {label: math.log(max(chance, _FLOOR)) / temperature for label, chance in chances.items()}
    highest = max(logs.values())
    shares = {label: math.exp(value - highest) for label, value in logs.items()}
    total = sum(shares.values())
    return {label: share / total for label, share in shares.items()}


def calibration_error(pairs: Sequence[tuple[float, bool]]) -> float:
    """
    Return how far confidence is from being right, 0..1, from pairs of both.

    The mean over bins of equal width, weighted by their rows (Guo et al. 2017, "expected calibration error").
    """
    return sum(part.rows * abs(part.probability - part.right) for part in reliability(pairs)) / len(pairs)


def reliability(pairs: Sequence[tuple[float, bool]]) -> tuple[ReliabilityBin, ...]:
    """Return the bins that have pairs of confidence and whether it was right, the least confident first."""
    found: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for confidence, is_right in pairs:
        found[min(int(confidence * _BINS), _BINS - 1)].append((confidence, is_right))
    return tuple(
        ReliabilityBin(len(part), sum(each[0] for each in part) / len(part), sum(each[1] for each in part) / len(part))
        for part in found
        if part
    )


def _confidences(rows: Sequence[tuple[str, Chances]]) -> list[tuple[float, bool]]:
    """Return the probability of the likeliest label of each row, and whether it is right."""
    likeliest = [(want, max(given.items(), key=lambda pair: pair[1])) for want, given in rows]
    return [(chance, label == want) for want, (label, chance) in likeliest]


def _threshold(at: float, pairs: Sequence[tuple[float, bool]]) -> Threshold:
    answered = [is_right for confidence, is_right in pairs if confidence >= at]
    return Threshold(at, len(answered) / len(pairs), sum(answered) / len(answered) if answered else None)


def _brier(want: str, chances: Chances) -> float:
    """Return the squared distance from certainty about the right label, 0..2 (Brier 1950)."""
    missing = 0.0 if want in chances else 1.0
    return missing + sum((chance - (label == want)) ** 2 for label, chance in chances.items())


def _temperature(rows: Sequence[tuple[str, Chances]]) -> float:
    """
    Return the likeliest temperature, which few rows move little from 1.

    As if one row of all had any label (as in Platt 1999), since it would otherwise be infinitely sure of a model that
    has made no mistake yet.
    """
    import numpy as np

    width = max(len(given) for _, given in rows)
    logs = np.full((len(rows), width), -np.inf)  # (rows, labels), with nothing where a row has fewer labels
    wanted = 0.0  # the mean logarithm of what is wanted, over all rows
    for place, (want, given) in enumerate(rows):
        own = np.log(np.maximum(list(given.values()), _FLOOR))
        logs[place, : len(own)] = own
        spread = 1 / (len(rows) + 2) if want in given else 1.0  # a label that it cannot give may be any
        right = own[list(given).index(want)] if want in given else 0.0
        wanted += spread * own.mean() + (1 - spread) * right

    def loss(log_sharpness: float) -> float:
        sharpness = math.exp(log_sharpness)
        fit = np.logaddexp.reduce(sharpness * logs, axis=1).sum() - sharpness * wanted
        return float(fit + log_sharpness**2 / (2 * _PRIOR_SPREAD**2))

    return math.exp(-_lowest(loss))


def _lowest(loss: Callable[[float], float]) -> float:
    """Return where a function of the logarithm of the sharpness is lowest."""
    least, width = math.log(_LEAST_SHARPNESS), math.log(_MOST_SHARPNESS / _LEAST_SHARPNESS) / _PLACES
    place = min(range(_PLACES + 1), key=lambda at: loss(least + at * width))
    low, high = least + max(0, place - 1) * width, least + min(_PLACES, place + 1) * width
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    losses = loss(left), loss(right)
    for _ in range(_STEPS):
        if losses[0] < losses[1]:
            high, right = right, left
            left = high - _GOLDEN * (high - low)
            losses = loss(left), losses[0]
        else:
            low, left = left, right
            right = low + _GOLDEN * (high - low)
            losses = losses[1], loss(right)
    return (low + high) / 2
