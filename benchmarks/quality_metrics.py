"""
Scores of answers: accuracy, macro-F1, ROUGE-L with chrF, and the reading of an answer that says more than was asked.

Works on lists of texts of equal length; knows nothing of models or tasks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import mean

from tunery.evaluation.report import ScoringKind
from tunery.evaluation.scores import figures, row_scores

OFF_LABEL = "(no label)"


def score(metric: str, expected: Sequence[str], answers: Sequence[str]) -> float:
    """Return the score in 0..1 by the name of the metric: "accuracy", "macro-f1" or "rouge-l"."""
    return {"accuracy": accuracy, "macro-f1": macro_f1, "rouge-l": rouge_l}[metric](expected, answers)


def further_scores(metric: str, expected: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """Return what else is measured beside a metric, in 0..1 by name."""
    return {"chrf": chrf(expected, answers)} if metric == "rouge-l" else {}


def accuracy(expected: Sequence[str], answers: Sequence[str]) -> float:
    return sum(want == got for want, got in zip(expected, answers, strict=True)) / len(expected)


def macro_f1(expected: Sequence[str], answers: Sequence[str]) -> float:
    """Return the mean F1 over the labels that are expected; an answer that is no label is a miss for its row only."""
    labels = sorted(set(expected))
    return sum(_f1(label, expected, answers) for label in labels) / len(labels)


def rouge_l(expected: Sequence[str], answers: Sequence[str]) -> float:
    """Return the mean ROUGE-L, as `tunery evaluate` measures it."""
    return mean(row_scores(ScoringKind.LONG_TEXT, expected, answers))


def chrf(expected: Sequence[str], answers: Sequence[str]) -> float:
    """Return the mean chrF of the rows, as `tunery evaluate` measures it."""
    found = figures(ScoringKind.LONG_TEXT, expected, answers, [0.0] * len(expected))
    return next(figure.value for figure in found if figure.metric == "chrf")


def _f1(label: str, expected: Sequence[str], answers: Sequence[str]) -> float:
    hits = sum(want == got == label for want, got in zip(expected, answers, strict=True))
    said, there = list(answers).count(label), list(expected).count(label)
    return 2 * hits / (said + there) if hits else 0.0


def strict(answer: str) -> str:
    """Return what counts by default: the answer without surrounding blanks."""
    return answer.strip()


def lenient(answer: str, labels: Sequence[str]) -> str:
    """
    Return what a patient reader would take from the answer.

    With labels: the one named first, in any case, within longer text too; OFF_LABEL when none is.
    Without: the first line, without a final full stop.
    """
    if labels:
        return _first_label(answer, labels)
    lines = answer.strip().splitlines() or [""]
    return lines[0].strip().removesuffix(".")


def _first_label(answer: str, labels: Sequence[str]) -> str:
    by_lower = {label.lower(): label for label in labels}
    pattern = "|".join(re.escape(label) for label in sorted(by_lower, key=len, reverse=True))
    found = re.search(rf"\b(?:{pattern})\b", answer.lower())
    return by_lower[found.group()] if found else OFF_LABEL
