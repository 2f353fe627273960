"""
Scores answers: 0 to 1 for each row, and figures over all rows with 95 % confidence intervals.

Labels have accuracy and macro-F1, short texts exact match, JSON the share of correct fields and rows, long texts
ROUGE-L and chrF.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median_high
from typing import Any

from tunery.data.outputs import OutputKind, output_kind, parsed
from tunery.evaluation.report import Confusion, Figure, Interval, ScoringKind

MAX_CONFUSION_LABELS = 30
RESAMPLES = 2_000
Z = NormalDist().inv_cdf(0.975)
METRICS = {
    ScoringKind.LABELS: "accuracy",
    ScoringKind.SHORT_TEXT: "exact_match",
    ScoringKind.JSON: "fields",
    ScoringKind.LONG_TEXT: "rouge_l",
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
# Of the median output, which is then a name, a date or a number. Longer ones, such as headlines, can be said in many
# right ways, so that exact match would hardly tell a good model from a bad one (docs/experiments.md).
_SHORT_CHARACTERS, _SHORT_WORDS = 80, 4
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_BISECTION_STEPS = 60  # on [-1, 1]: exact to 2e-18


@dataclass(frozen=True, slots=True)
class Scoring:
    """How answers are read and scored; `labels` is empty unless the outputs are labels."""

    kind: ScoringKind
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, outputs: Sequence[str]) -> Scoring:
        """Return how answers to these outputs are scored; pass all known outputs, including those of the examples."""
        stripped = [output.strip() for output in outputs]
        match output_kind(stripped):
            case OutputKind.JSON:
                return cls(ScoringKind.JSON)
            case OutputKind.LABELS:
                return cls(ScoringKind.LABELS, tuple(sorted(set(stripped))))
        is_long = bool(stripped) and (
            median_high(map(len, stripped)) > _SHORT_CHARACTERS
            or median_high(len(output.split()) for output in stripped) > _SHORT_WORDS
        )
        return cls(ScoringKind.LONG_TEXT if is_long else ScoringKind.SHORT_TEXT)

    def read(self, answer: str, *, is_lenient: bool = False) -> str:
        """
        Return the part of an answer that is scored: the answer without surrounding whitespace.

        The lenient reading is for a base that knows the format only from its prompt. It takes the first label, the JSON
        or the first line of the answer.
        """
        answer = answer.strip()
        if not is_lenient or self.kind is ScoringKind.LONG_TEXT:
            return answer
        if self.kind is ScoringKind.LABELS:
            return self._first_label(answer)
        if self.kind is ScoringKind.JSON:
            return _json_in(answer)
        return next(iter(answer.splitlines()), "").strip().removesuffix(".")

    def _first_label(self, answer: str) -> str:
        by_folded = {label.casefold(): label for label in self.labels}
        longest_first = sorted(by_folded, key=len, reverse=True)
        pattern = "|".join(rf"(?<!\w){re.escape(label)}(?!\w)" for label in longest_first if label)
        found = re.search(pattern, answer.casefold()) if pattern else None
        return by_folded[found.group()] if found else answer


def _json_in(answer: str) -> str:
    fenced = _FENCE.search(answer)
    text = fenced.group(1) if fenced else answer
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text.strip()


def row_scores(kind: ScoringKind, expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Return the score of each row, 0 to 1, by the main metric (METRICS)."""
    match kind:
        case ScoringKind.JSON:
            return [_fields_right(want, got) for want, got in zip(expected, answers, strict=True)]
        case ScoringKind.LONG_TEXT:
            return _rouge_l(expected, answers)
    return [float(want.strip() == got) for want, got in zip(expected, answers, strict=True)]


def figures(
    kind: ScoringKind, expected: Sequence[str], answers: Sequence[str], scores: Sequence[float], seed: int = 0
) -> tuple[Figure, ...]:
    """Return the figures of a candidate, the main one first; `scores` are those of `row_scores`."""
    name, rows = METRICS[kind], len(scores)
    mean = sum(scores) / rows
    match kind:
        case ScoringKind.LABELS:
            return Figure(name, mean, wilson(round(sum(scores)), rows)), _macro_f1(expected, answers, seed)
        case ScoringKind.JSON:
            whole = sum(score == 1 for score in scores)
            return (
                Figure(name, mean, bootstrap_mean(scores, seed)),
                Figure("whole_rows", whole / rows, wilson(whole, rows)),
            )
        case ScoringKind.LONG_TEXT:
            chrf = _chrf(expected, answers)
            return (
                Figure(name, mean, bootstrap_mean(scores, seed)),
                Figure("chrf", sum(chrf) / rows, bootstrap_mean(chrf, seed)),
            )
    return (Figure(name, mean, wilson(round(sum(scores)), rows)),)


def confusion(kind: ScoringKind, expected: Sequence[str], answers: Sequence[str]) -> Confusion | None:
    """Return the confusion table; None unless the outputs are labels, at most MAX_CONFUSION_LABELS."""
    labels = sorted({want.strip() for want in expected})
    if kind is not ScoringKind.LABELS or len(labels) > MAX_CONFUSION_LABELS:
        return None
    index = {label: at for at, label in enumerate(labels)}
    counts = [[0] * (len(labels) + 1) for _ in labels]
    for want, got in zip(expected, answers, strict=True):
        counts[index[want.strip()]][index.get(got, len(labels))] += 1
    return Confusion(tuple(labels), tuple(map(tuple, counts)))


def _macro_f1(expected: Sequence[str], answers: Sequence[str], seed: int) -> Figure:
    """Return the mean F1 over the expected labels; any other answer only counts as a miss."""
    import numpy as np

    labels = sorted({want.strip() for want in expected})
    index = {label: at for at, label in enumerate(labels)}
    wanted = np.array([index[want.strip()] for want in expected])
    said = np.array([index.get(got, len(labels)) for got in answers])

    def of(drawn: Any) -> Any:
        return np.array([_mean_f1(wanted[rows], said[rows], len(labels)) for rows in drawn])

    everything = np.arange(len(wanted))[None, :]
    return Figure("macro_f1", float(of(everything)[0]), bootstrap(of, len(wanted), seed))


def _mean_f1(wanted: Any, said: Any, labels: int) -> float:
    import numpy as np

    table = np.bincount(wanted * (labels + 1) + said, minlength=labels * (labels + 1)).reshape(labels, labels + 1)
    hits, there, claimed = np.diag(table), table.sum(axis=1), table[:, :labels].sum(axis=0)
    is_there = there > 0  # a resample may lack a rare label
    return float((2 * hits[is_there] / (there + claimed)[is_there]).mean())


def _fields_right(expected: str, answer: str) -> float:
    """Return the share of the fields of both sides that are equal on both."""
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
        # true does not equal 1, but 1 equals 1.0
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
    """Splits text in any script into words; rouge-score's own tokenizer knows only a-z and digits."""

    def tokenize(self, text: str) -> list[str]:
        import regex

        # in scripts without spaces, each character counts as a word
        return list(regex.findall(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+", text.casefold()))


def _chrf(expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    from sacrebleu.metrics.chrf import CHRF

    score: Callable[[str, list[str]], Any] = CHRF().sentence_score
    return [float(score(got, [want]).score) / 100 for want, got in zip(expected, answers, strict=True)]


def wilson(right: int, rows: int) -> Interval:
    """Return the interval of a share of `right` in `rows` ≥ 1 (Wilson 1927, score interval)."""
    share, spread = right / rows, Z * Z / rows
    middle = (share + spread / 2) / (1 + spread)
    reach = Z * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def paired_shares(wins: int, losses: int, rows: int) -> Interval:
    """
    Return the interval of the difference of two shares measured on the same rows (Tango 1998, score interval).

    `wins` is the number of rows that only the first answers correctly, `losses` that of the second. Even if both are 0,
    the interval has a width.
    """
    difference = (wins - losses) / rows

    def limit(sign: float) -> float:
        near, far = difference, sign
        for _ in range(_BISECTION_STEPS):
            middle = (near + far) / 2
            if abs(_tango(wins, losses, rows, middle)) <= Z:
                near = middle
            else:
                far = middle
        return near

    return Interval(limit(-1.0), limit(1.0))


def mcnemar(wins: int, losses: int) -> float:
    """Return the two-sided p-value of the exact McNemar test."""
    decided, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(decided, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**decided))


def bootstrap_mean(values: Any, seed: int = 0) -> Interval:
    """Return the bootstrap interval of the mean of one value per row."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    return bootstrap(lambda drawn: array[drawn].mean(axis=1), len(array), seed)


def bootstrap(statistic: Callable[[Any], Any], rows: int, seed: int = 0) -> Interval:
    """
    Return the interval of a statistic by sampling rows with replacement.

    `statistic` takes row indices `[R, n]` and returns values `[R]`. The percentiles are widened in the way Student's t
    is wider than the normal distribution ("expanded percentile", Hesterberg 2015); otherwise the intervals would be too
    narrow for few rows.
    """
    import numpy as np

    if rows < 2:
        return Interval(-math.inf, math.inf)
    found = statistic(_drawn(rows, seed))
    tail = NormalDist().cdf(-_student(rows) * math.sqrt(rows / (rows - 1)))
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(float(low), float(high))


def bootstrap_p_value(differences: Any, seed: int = 0) -> float:
    """Return the two-sided bootstrap p-value for the hypothesis that the mean of paired differences is 0."""
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
    """Return the distance of the data from a true difference, in standard errors."""
    quadratic = 2 * rows
    linear = -wins - losses + (2 * rows - wins + losses) * difference
    constant = -losses * difference * (1 - difference)
    lost = (math.sqrt(max(linear * linear - 4 * quadratic * constant, 0.0)) - linear) / (2 * quadratic)
    variance = rows * (2 * lost + difference * (1 - difference))
    distance = wins - losses - rows * difference
    if variance <= 0:
        return 0.0 if abs(distance) < 1e-9 else math.copysign(math.inf, distance)
    return float(distance / math.sqrt(variance))
