"""What data surgery finds, and what it leaves when the sure part is fixed."""

from __future__ import annotations

import random

import pytest

from tunery.data.cleaning import Finding, Kind, examine, fixed, fixed_rows
from tunery.data.inputs import alike
from tunery.data.outputs import is_a_letter_off, label_variants
from tunery.types import TuningExample

LONG = "the parcel that I ordered two weeks ago with express delivery has still not arrived at my new address"


def kinds(findings: list[Finding]) -> list[tuple[Kind, int, int | None]]:
    return [(finding.kind, finding.place, finding.other) for finding in findings]


def test_texts_that_differ_in_case_and_signs_are_alike() -> None:
    """Punctuation, case and blanks do not make another text."""
    assert list(alike(["Where is it?", "who are you", "where is  it"])) == [(2, 0, 1.0)]


def test_long_texts_with_one_other_word_are_alike_and_short_ones_are_not() -> None:
    """Likeness is the share of words and pairs of words in common."""
    found = list(alike([LONG, LONG.replace("express", "normal"), "red car", "blue car"]))

    assert [(later, earlier) for later, earlier, _ in found] == [(1, 0)]
    assert 0.85 <= found[0][2] < 1


@pytest.mark.parametrize(
    ("one", "other"), [("3+4", "3*4"), ("-5", "5"), ("1.5", "15"), (LONG + " 7", LONG + " 8"), ("a < b", "a > b")]
)
def test_signs_and_numbers_make_another_text(one: str, other: str) -> None:
    """What changes a meaning is no likeness, however long the rest is."""
    assert list(alike([one, other])) == []


def test_instructions_do_not_make_rows_alike() -> None:
    """What all rows begin with says nothing about any two of them."""
    instructions = "Reply with one word: what kind of answer does the question ask for, of all the kinds? Question: "

    assert list(alike([instructions + text for text in ("who", "when", "where")])) == []


def test_copies_and_contradictions_point_at_the_first_row() -> None:
    """A copy is dropped by a fix, a contradiction is left to the user."""
    examples = [
        TuningExample(LONG, "delivery"),
        TuningExample(LONG, "delivery"),
        TuningExample(LONG.upper() + "!", "delivery"),
        TuningExample(LONG, "return"),
    ]

    found = examine(examples)

    assert kinds(found) == [
        (Kind.DUPLICATE, 1, 0),
        (Kind.NEAR_DUPLICATE, 2, 0),
        (Kind.CONTRADICTION, 3, 0),
    ]
    assert fixed(examples, found) == [examples[0], examples[3]]


def test_rows_that_give_held_out_rows_away_are_found() -> None:
    """Also when another row to tune on is as near."""
    examples = [TuningExample(LONG, "a"), TuningExample(LONG + ".", "a"), TuningExample("something else", "b")]

    found = examine(examples, held_out=[TuningExample(LONG + "!", "a")])

    copies = [(finding.place, finding.held_out_place) for finding in found if finding.kind is Kind.HELD_OUT_COPY]
    assert copies == [(0, 0), (1, 0)]


def test_spellings_of_one_label_become_the_most_frequent() -> None:
    """Case, blanks, hyphens, plural, and a letter off among rare labels."""
    outputs = ["sign-in"] * 9 + ["Sign in", "refund"] + ["refunds"] * 5 + ["delivery"] * 12 + ["delivry", "bills"]

    assert label_variants(outputs) == {"Sign in": "sign-in", "refund": "refunds", "delivry": "delivery"}


def test_labels_with_numbers_are_no_variants() -> None:
    """class1 and class2 are a letter apart and not the same."""
    assert label_variants(["class1"] * 12 + ["class2"]) == {}


def test_texts_have_no_variants() -> None:
    """Only a closed set of labels has spellings."""
    assert label_variants([f"text {number}" for number in range(30)] + ["Text 3"]) == {}


@pytest.mark.parametrize(
    ("one", "other", "is_near"),
    [
        ("delivery", "delivry", True),
        ("delivery", "delivary", True),
        ("delivery", "deliveyr", True),
        ("delivery", "delivery", False),
        ("delivery", "devilry", False),
        ("spam", "ham", False),
        ("model3", "model4", False),
    ],
)
def test_a_letter_off(one: str, other: str, is_near: bool) -> None:
    """One letter more, less, exchanged, or two swapped; short words and digits never."""
    assert is_a_letter_off(one, other) is is_a_letter_off(other, one) is is_near


def test_rows_longer_than_the_window_are_found() -> None:
    """The caller brings the tokens."""
    examples = [TuningExample("a", "b"), TuningExample("c", "d")]

    assert kinds(examine(examples, token_counts=[10, 300], window_tokens=128)) == [(Kind.CUT_ROW, 1, None)]


def test_unlikely_labels_are_doubted_the_least_likely_first() -> None:
    """A chance below five percent for a label is a doubt; a fix leaves the row alone."""
    examples = [TuningExample(f"text {n}", "ab"[n % 2]) for n in range(12)]
    losses = [0.1] * 10 + [4.0, 6.0]

    found = examine(examples, losses=losses)

    assert [(finding.kind, finding.place) for finding in found] == [(Kind.MISLABELLED, 10), (Kind.MISLABELLED, 11)]
    assert "0.25%" in found[1].message
    assert fixed(examples, found) == examples


def test_texts_are_doubted_only_where_they_stand_out() -> None:
    """Outputs that are no labels have losses of every size; what counts is the distance from the others."""
    drawn = random.Random(0)
    examples = [TuningExample(f"in {n}", f"a text of its own, number {n}") for n in range(40)]
    losses = [20 + drawn.gauss(0, 2) for _ in examples]
    losses[7] = 60.0

    assert [finding.place for finding in examine(examples, losses=losses)] == [7]


def test_a_fix_trims_blanks_and_changes_labels() -> None:
    """The copy has the outputs that findings give."""
    examples = [TuningExample(" a ", "X "), TuningExample("b", "y")]

    assert fixed(examples, [Finding(Kind.LABEL_VARIANT, 0, "", new_output="x")]) == [
        TuningExample("a", "x"),
        TuningExample("b", "y"),
    ]


def test_learned_rows_that_are_unlikely_are_still_wrong() -> None:
    """Nobody shall read that a model was tuned without a row which it was tuned on."""
    examples = [TuningExample(f"text {n}", "ab"[n % 2]) for n in range(12)]

    found = examine(examples, losses=[0.1] * 10 + [4.0, 6.0], learned=examples[:11])

    assert [(finding.kind, finding.place) for finding in found] == [(Kind.STILL_WRONG, 10), (Kind.MISLABELLED, 11)]
    assert found[0].message.startswith("tuned on this row, the model still gives 'a'")


def test_a_document_has_rows_instead_of_places() -> None:
    """Also in the sentence; held-out rows are numbered from 1."""
    finding = Finding(Kind.DUPLICATE, 3, "the same as another row.", 1, drops=True, score=1.0, held_out_place=0)

    assert finding.document(lambda place: place + 2) == {
        "kind": "duplicate",
        "row": 5,
        "other_row": 3,
        "held_out_row": 1,
        "message": "the same as row 3.",
        "is_dropped": True,
        "new_output": None,
        "score": 1.0,
    }


def test_a_finding_comes_back_from_its_document() -> None:
    """Indexes become row numbers and indexes again, so stored findings can be applied."""
    rows = [TuningExample("one", "yes"), TuningExample("one", "yes"), TuningExample("two", "yes")]
    found = examine(rows, held_out=[TuningExample("two", "yes")])

    again = [Finding.read(finding.document(lambda place: place + 1)) for finding in found]

    assert [finding.document(lambda place: place + 1) for finding in again] == [
        finding.document(lambda place: place + 1) for finding in found
    ]
    assert fixed_rows(again) == 2
    assert len(fixed(rows, again)) == 1
