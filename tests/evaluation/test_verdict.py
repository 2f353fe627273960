"""Verdicts on constructed cases."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tunery.evaluation.contest import majority, similar
from tunery.evaluation.report import Evaluation, Relation, ScoringKind, VerdictKind, read_report
from tunery.evaluation.scores import Scoring
from tunery.evaluation.verdict import Answers, judge
from tunery.types import TuningExample

KINDS = ("bill", "delivery", "return")


def tickets(count: int, seed: int = 0) -> list[TuningExample]:
    """Return rows whose words do not depend on their label."""
    drawn = random.Random(seed)
    return [TuningExample(f"ticket {drawn.randrange(10**9)}", drawn.choice(KINDS)) for _ in range(count)]


def right(rows: Sequence[TuningExample], share: float, seed: int = 1) -> list[str]:
    """Return answers of which about this share is right."""
    drawn = random.Random(seed)
    wrong = {kind: KINDS[place - 1] for place, kind in enumerate(KINDS)}
    return [row.output if drawn.random() < share else wrong[row.output] for row in rows]


def judged(rows: Sequence[TuningExample], **answers: Sequence[str]) -> Evaluation:
    """Judge answers against those of the simple baselines."""
    known, asked = tickets(100, seed=9), [row.text_input for row in rows]
    shape = Scoring(ScoringKind.LABELS, KINDS)
    simple = {"majority": majority(known, asked), "similar": similar(shape, known, asked)}
    return judge(rows, Answers({**simple, **answers}, examples_in_prompt=5), known)


def kind(evaluation: Evaluation) -> VerdictKind:
    assert evaluation.verdict is not None
    return evaluation.verdict.kind


def test_a_clear_lead_means_that_tuning_helped() -> None:
    """The sentence names the closest rival and the interval of the difference."""
    rows = tickets(100)

    found = judged(rows, base=right(rows, 0.1), base_examples=right(rows, 0.5), tuned=right(rows, 0.9))

    assert kind(found) is VerdictKind.HELPED
    assert found.verdict is not None
    assert found.verdict.text.startswith("Tuning helped: accuracy 9")
    assert "the base model with 5 examples" in found.verdict.text
    assert all(comparison.relation is Relation.BETTER for comparison in found.comparisons)


def test_a_base_that_is_as_good_makes_a_prompt_enough() -> None:
    """The verdict is PROMPT_ENOUGH, however good the tuned model is."""
    rows = tickets(100)

    found = judged(rows, base=right(rows, 0.97, 2), base_examples=right(rows, 0.5), tuned=right(rows, 0.97, 3))

    assert kind(found) is VerdictKind.PROMPT_ENOUGH


def test_random_labels_cannot_be_learned() -> None:
    """A model that guesses is no better than the most frequent answer."""
    rows = tickets(300)

    found = judged(rows, base=right(rows, 0.0), base_examples=right(rows, 0.3, 2), tuned=right(rows, 1 / 3, 3))

    assert kind(found) is VerdictKind.NO_BETTER


def test_labels_that_follow_from_words_need_no_model() -> None:
    """A word-based classifier that is always right cannot be beaten."""
    rows = [TuningExample(f"my {kind} number {n}", kind) for n in range(40) for kind in KINDS]

    words = similar(Scoring(ScoringKind.LABELS, KINDS), rows, [row.text_input for row in rows])
    found = judge(rows, Answers({"base": ["?"] * 120, "similar": words, "tuned": right(rows, 0.98)}))

    assert kind(found) is VerdictKind.NO_BETTER
    assert found.verdict is not None
    assert "100% for a word-based classifier" in found.verdict.text


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_twelve_rows_are_too_few(share: float) -> None:
    """With twelve rows the verdict is TOO_FEW_ROWS, whatever the scores."""
    rows = tickets(12)

    found = judged(rows, base=right(rows, 0.0), tuned=right(rows, share))

    assert kind(found) is VerdictKind.TOO_FEW_ROWS
    assert found.verdict is not None
    assert "12 rows" in found.verdict.text


def test_a_model_that_is_never_right_did_not_help() -> None:
    """However few the rows are beyond the least, and although nothing else is right either."""
    rows = [TuningExample(f"Where is item {number}?", f"Aisle {number}, shelf B") for number in range(20)]
    wrong = ["Aisle 99, shelf A"] * len(rows)

    found = judge(rows, Answers({"majority": wrong, "similar": wrong, "base": wrong, "tuned": wrong}), rows[:0])

    assert kind(found) is VerdictKind.NO_BETTER
    assert found.verdict is not None
    assert found.verdict.text.startswith("Tuning did not help: exact match 0% on 20 rows. If the answers are facts")


def test_a_small_lead_on_few_rows_needs_more_rows() -> None:
    """An unclear difference gives the number of rows that would settle it."""
    rows = tickets(40)

    found = judged(rows, base=right(rows, 0.5, 3), tuned=right(rows, 0.7, 4))

    assert kind(found) is VerdictKind.TOO_FEW_ROWS
    assert found.verdict is not None
    assert "times as many rows would settle it" in found.verdict.text


def test_a_prompted_base_is_read_leniently_and_the_tuned_model_exactly() -> None:
    """Words around a label cost the tuned model the row, but not the base."""
    rows = tickets(30)
    talk = [f"It is {row.output}." for row in rows]

    found = judged(rows, base=talk, tuned=talk)

    base, tuned = found.candidate("base"), found.candidate("tuned")
    assert base is not None
    assert tuned is not None
    assert (base.score, tuned.score) == (1.0, 0.0)


def test_recorded_answers_are_compared_and_do_not_change_the_verdict() -> None:
    """A better old model appears as a comparison only."""
    rows = tickets(100)
    answers = {"base": right(rows, 0.1), "tuned": right(rows, 0.9), "recorded": [row.output for row in rows]}

    found = judge(rows, Answers(answers, recorded_title="gemini-old"), tickets(100, seed=9))

    assert kind(found) is VerdictKind.HELPED
    against = next(comparison for comparison in found.comparisons if comparison.against == "recorded")
    assert against.difference < 0
    old = found.candidate("recorded")
    assert old is not None
    assert old.title == "gemini-old"


def test_rows_are_shown_with_all_answers() -> None:
    """Rows that only the tuned model has right come first in one list, rows only it has wrong in the other."""
    rows = tickets(30)
    base = [row.output for row in rows]
    base[4] = "nothing"
    tuned = list(base)
    tuned[4], tuned[7] = rows[4].output, "nothing"

    found = judge(rows, Answers({"base": base, "tuned": tuned}))

    assert found.best_rows[0].row == 5
    assert (found.worst_rows[0].row, found.worst_rows[0].answers["tuned"]) == (8, "nothing")
    assert [row.row for row in found.answered_rows] == [*range(1, 31)]
    assert found.answered_rows[7].answers == {"base": rows[7].output, "tuned": "nothing"}
    assert found.renumbered([*range(101, 131)]).answered_rows[29].row == 130
    hidden = found.without_rows()
    assert hidden.best_rows == hidden.worst_rows == hidden.answered_rows == ()


def test_an_evaluation_is_read_back_from_its_document() -> None:
    """The evaluation read from a document equals the original."""
    rows = tickets(30)
    found = judged(rows, base=right(rows, 0.2), tuned=right(rows, 0.9))

    assert read_report(found.document()) == found
