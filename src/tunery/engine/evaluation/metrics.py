"""
Scores of answers by the shape of the outputs: for each row 0 to 1, and figures over all rows with their intervals.

Labels: accuracy and macro-F1. Short texts: exact match. JSON: the share of fields that are right, and whole rows. Long
texts: ROUGE-L and chrF. Knows texts that were read already (`shapes`); nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tunery.data.outputs import Shape, parsed
from tunery.engine.evaluation.intervals import bootstrap, bootstrap_mean, wilson
from tunery.engine.evaluation.report import Confusion, Figure, OutputShape

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
