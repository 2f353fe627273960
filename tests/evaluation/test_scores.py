"""How answers are read and scored."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import f1_score

from tunery.evaluation.report import Figure, ScoringKind
from tunery.evaluation.scores import Scoring, confusion, figures, row_scores

LABELS = Scoring(ScoringKind.LABELS, ("a", "b", "c"))
JSON = Scoring(ScoringKind.JSON)
LONG = Scoring(ScoringKind.LONG_TEXT)
NAMES = Scoring(ScoringKind.LABELS, ("human", "human being", "number"))


def found(shape: Scoring, expected: list[str], answers: list[str]) -> dict[str, Figure]:
    scores = row_scores(shape.kind, expected, answers)
    return {figure.metric: figure for figure in figures(shape.kind, expected, answers, scores)}


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (["spam", "ham", "ham"] * 4, ScoringKind.LABELS),
        (["spam", "ham", "ham"], ScoringKind.SHORT_TEXT),  # too few to be labels
        ([str(number) for number in range(20)], ScoringKind.SHORT_TEXT),
        ([f"Harbour bridge to close for {months} months" for months in range(20)], ScoringKind.LONG_TEXT),
        (['{"a": 1}', '{"a": 2}', "[1]"], ScoringKind.JSON),
        (["A sentence that goes on for a while, as summaries do, and then for some more words. " * 2], "LONG_TEXT"),
    ],
)
def test_scoring_follows_the_outputs(outputs: list[str], kind: str) -> None:
    """Outputs are labels if they repeat, JSON if they parse, otherwise short or long text."""
    assert Scoring.of(outputs).kind == kind


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("The answer is: Human.", "human"),
        ("A human being, clearly", "human being"),
        ("numbers", "numbers"),  # no label as a whole word
        (" number \n", "number"),
    ],
)
def test_the_lenient_reading_finds_the_first_label(answer: str, read: str) -> None:
    """Labels are found as whole words in any case, longer labels first."""
    assert NAMES.read(answer, is_lenient=True) == read


def test_the_exact_reading_strips_whitespace_only() -> None:
    """Case and punctuation stay."""
    assert NAMES.read(" Human.\n") == "Human."


def test_the_lenient_reading_finds_json() -> None:
    """Code fences and text around an object are removed."""
    shape = Scoring(ScoringKind.JSON)

    assert shape.read('Sure!\n```json\n{"a": 1}\n```\nDone.', is_lenient=True) == '{"a": 1}'
    assert shape.read('It is {"a": {"b": 2}}.', is_lenient=True) == '{"a": {"b": 2}}'


def test_the_lenient_reading_takes_the_first_line_of_a_short_text() -> None:
    """Text after the first line is ignored."""
    assert Scoring(ScoringKind.SHORT_TEXT).read("forty-two.\n\nQuestion: and then?", is_lenient=True) == "forty-two"


def test_labels_have_accuracy_and_the_macro_f1_of_scikit_learn() -> None:
    """An answer that is not a label counts as a miss, not as another label."""
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
def test_json_is_scored_field_by_field(answer: str, score: float) -> None:
    """Missing, wrong and extra fields cost their share; the order and the format of numbers do not matter."""
    assert row_scores(JSON.kind, ['{"name": "Ada", "born": {"year": 1815}}'], [answer]) == [pytest.approx(score)]


def test_true_is_not_one() -> None:
    """JSON booleans and numbers are different, although they are equal in Python."""
    assert row_scores(JSON.kind, ['{"a": 1}'], ['{"a": true}']) == [0.0]


def test_long_texts_have_rouge_and_chrf() -> None:
    """Equal texts score 1, half a text scores in between."""
    expected = ["the committee met on Monday and agreed", "prices rose again in May"] * 10
    figure = found(LONG, expected, expected)
    half = found(LONG, expected, ["the committee met", "prices rose"] * 10)

    assert {name: one.value for name, one in figure.items()} == {"rouge_l": 1.0, "chrf": pytest.approx(1.0)}
    assert 0.3 < half["rouge_l"].value < 0.9
    assert 0.3 < half["chrf"].value < 0.9


@pytest.mark.parametrize("text", ["Преподаватель пришёл домой", "先生は家に帰りました"])
def test_rouge_supports_every_script(text: str) -> None:
    """Texts without Latin letters are scored too."""
    assert row_scores(LONG.kind, [text], [text]) == [1.0]


def test_confusion_counts_answers_by_label() -> None:
    """Each expected label has a line; the last column counts any other answer."""
    table = confusion(LABELS.kind, ["a", "a", "b"], ["a", "b", "something"])

    assert table is not None
    assert (table.labels, table.counts) == (("a", "b"), ((1, 1, 0), (0, 0, 1)))
    assert confusion(JSON.kind, ["{}"], ["{}"]) is None
