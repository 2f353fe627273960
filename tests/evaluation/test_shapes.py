"""What outputs look like, and how answers are read."""

from __future__ import annotations

import pytest

from tunery.evaluation.report import ScoringKind
from tunery.evaluation.scores import Scoring

LABELS = Scoring(ScoringKind.LABELS, ("human", "human being", "number"))


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (["spam", "ham", "ham"] * 4, ScoringKind.LABELS),
        (["spam", "ham", "ham"], ScoringKind.SHORT_TEXT),  # too few to know that there are no others
        ([str(number) for number in range(20)], ScoringKind.SHORT_TEXT),
        (['{"a": 1}', '{"a": 2}', "[1]"], ScoringKind.JSON),
        (["A sentence that goes on for a while, as summaries do, and then for some more words. " * 2], "LONG_TEXT"),
    ],
)
def test_shape_is_that_of_the_outputs(outputs: list[str], kind: str) -> None:
    """Labels repeat, JSON parses, long texts are long, the rest is short text."""
    assert Scoring.of(outputs).kind == kind


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("The answer is: Human.", "human"),
        ("A human being, clearly", "human being"),
        ("numbers", "numbers"),  # no label stands in it
        (" number \n", "number"),
    ],
)
def test_a_patient_reader_finds_the_first_label(answer: str, read: str) -> None:
    """Whole words count, in any case, the longest label first."""
    assert LABELS.read(answer, is_lenient=True) == read


def test_the_exact_reading_takes_blanks_off_and_nothing_else() -> None:
    """What a program would compare is compared."""
    assert LABELS.read(" Human.\n") == "Human."


def test_a_patient_reader_takes_json_out_of_its_wrapping() -> None:
    """Fences and words around an object do not count."""
    shape = Scoring(ScoringKind.JSON)

    assert shape.read('Sure!\n```json\n{"a": 1}\n```\nDone.', is_lenient=True) == '{"a": 1}'
    assert shape.read('It is {"a": {"b": 2}}.', is_lenient=True) == '{"a": {"b": 2}}'


def test_a_patient_reader_takes_the_first_line_of_a_short_answer() -> None:
    """What a base says after its answer does not count against it."""
    assert Scoring(ScoringKind.SHORT_TEXT).read("forty-two.\n\nQuestion: and then?", is_lenient=True) == "forty-two"
