"""Scores of answers."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import f1_score

from tunery.evaluation.report import Figure, ScoringKind
from tunery.evaluation.scores import Scoring, confusion, figures, row_scores

LABELS = Scoring(ScoringKind.LABELS, ("a", "b", "c"))
JSON = Scoring(ScoringKind.JSON)
LONG = Scoring(ScoringKind.LONG_TEXT)


def found(shape: Scoring, expected: list[str], answers: list[str]) -> dict[str, Figure]:
    scores = row_scores(shape.kind, expected, answers)
    return {figure.metric: figure for figure in figures(shape.kind, expected, answers, scores)}


def test_labels_have_accuracy_and_the_macro_f1_of_scikit_learn() -> None:
    """An answer that is no label is a miss of its row and no label of its own."""
    drawn = random.Random(1)
    expected = [drawn.choice("aabc") for _ in range(60)]
    answers = [want if drawn.random() < 0.6 else drawn.choice(["a", "b", "c", "x"]) for want in expected]

    figure = found(LABELS, expected, answers)

    assert figure["accuracy"].value == sum(map(str.__eq__, expected, answers)) / 60
    known = f1_score(expected, answers, labels=["a", "b", "c"], average="macro", zero_division=0)
    assert figure["macro_f1"].value == pytest.approx(known)
    for one in figure.values():
        assert one.interval.low < one.value < one.interval.high


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"name": "Ada", "born": {"year": 1815.0}}', 1.0),
        ('{"born": {"year": 1815}}', 0.5),
        ('{"name": "Ada", "born": {"year": 1815}, "died": 1852}', 2 / 3),
        ('{"name": true, "born": {"year": "1815"}}', 0.0),
        ("Ada, 1815", 0.0),
    ],
)
def test_json_counts_field_by_field(answer: str, score: float) -> None:
    """Fields that are missing, wrong or too many cost their share; order and form of numbers do not matter."""
    assert row_scores(JSON.kind, ['{"name": "Ada", "born": {"year": 1815}}'], [answer]) == [pytest.approx(score)]


def test_true_is_not_one() -> None:
    """JSON has booleans and numbers, and Python would take one for the other."""
    assert row_scores(JSON.kind, ['{"a": 1}'], ['{"a": true}']) == [0.0]


def test_long_texts_have_rouge_and_chrf() -> None:
    """Equal texts have 1 in both, half of a text lies between."""
    expected = ["the committee met on Monday and agreed", "prices rose again in May"] * 10
    figure = found(LONG, expected, expected)
    half = found(LONG, expected, ["the committee met", "prices rose"] * 10)

    assert {name: one.value for name, one in figure.items()} == {"rouge_l": 1.0, "chrf": pytest.approx(1.0)}
    assert 0.3 < half["rouge_l"].value < 0.9
    assert 0.3 < half["chrf"].value < 0.9


@pytest.mark.parametrize("text", ["Преподаватель пришёл домой", "先生は家に帰りました"])
def test_rouge_reads_every_script(text: str) -> None:
    """Texts without a single Latin letter are scored like all others."""
    assert row_scores(LONG.kind, [text], [text]) == [1.0]


def test_confusion_counts_answers_by_label() -> None:
    """A line for each label that is expected, the last column for anything else."""
    table = confusion(LABELS.kind, ["a", "a", "b"], ["a", "b", "something"])

    assert table is not None
    assert (table.labels, table.counts) == (("a", "b"), ((1, 1, 0), (0, 0, 1)))
    assert confusion(JSON.kind, ["{}"], ["{}"]) is None
