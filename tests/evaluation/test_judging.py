"""From answers to a verdict, on planted cases."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tunery.evaluation.contest import majority, similar
from tunery.evaluation.report import Evaluation, Relation, ScoringKind, VerdictKind, from_document
from tunery.evaluation.scores import Scoring
from tunery.evaluation.verdict import Answers, judge
from tunery.types import TuningExample

KINDS = ("bill", "delivery", "return")


def tickets(count: int, seed: int = 0) -> list[TuningExample]:
    """Rows whose words say nothing about their label."""
    drawn = random.Random(seed)
    return [TuningExample(f"ticket {drawn.randrange(10**9)}", drawn.choice(KINDS)) for _ in range(count)]


def right(rows: Sequence[TuningExample], share: float, seed: int = 1) -> list[str]:
    """Answers of which about this share is right."""
    drawn = random.Random(seed)
    wrong = {kind: KINDS[place - 1] for place, kind in enumerate(KINDS)}
    return [row.output if drawn.random() < share else wrong[row.output] for row in rows]


def judged(rows: Sequence[TuningExample], **answers: Sequence[str]) -> Evaluation:
    """Judge answers beside those of the simple baselines."""
    known, asked = tickets(100, seed=9), [row.text_input for row in rows]
    shape = Scoring(ScoringKind.LABELS, KINDS)
    simple = {"majority": majority(known, asked), "similar": similar(shape, known, asked)}
    return judge(rows, Answers({**simple, **answers}, examples_in_prompt=5), known)


def kind(evaluation: Evaluation) -> VerdictKind:
    assert evaluation.verdict is not None
    return evaluation.verdict.kind


def test_a_clear_lead_over_everything_is_help() -> None:
    """The sentence names the nearest rival and the interval of the difference."""
    rows = tickets(100)

    found = judged(rows, base=right(rows, 0.1), base_examples=right(rows, 0.5), tuned=right(rows, 0.9))

    assert kind(found) is VerdictKind.HELPED
    assert found.verdict is not None
    assert found.verdict.text.startswith("Tuning helped: accuracy 9")
    assert "the base model with 5 examples" in found.verdict.text
    assert all(comparison.relation is Relation.BETTER for comparison in found.comparisons)


def test_a_task_that_the_base_does_needs_no_tuning() -> None:
    """Where the plain prompt is as good, the sentence says so, however good the tuned model is."""
    rows = tickets(100)

    found = judged(rows, base=right(rows, 0.97, 2), base_examples=right(rows, 0.5), tuned=right(rows, 0.97, 3))

    assert kind(found) is VerdictKind.PROMPT_ENOUGH


def test_labels_at_random_cannot_be_learned() -> None:
    """A model that guesses is no better than the most frequent answer."""
    rows = tickets(300)

    found = judged(rows, base=right(rows, 0.0), base_examples=right(rows, 0.3, 2), tuned=right(rows, 1 / 3, 3))

    assert kind(found) is VerdictKind.NO_BETTER


def test_data_in_which_words_say_all_need_no_model() -> None:
    """A word count that is always right cannot be beaten."""
    rows = [TuningExample(f"my {kind} number {n}", kind) for n in range(40) for kind in KINDS]

    words = similar(Scoring(ScoringKind.LABELS, KINDS), rows, [row.text_input for row in rows])
    found = judge(rows, Answers({"base": ["?"] * 120, "similar": words, "tuned": right(rows, 0.98)}))

    assert kind(found) is VerdictKind.NO_BETTER
    assert found.verdict is not None
    assert "100% for a word-based classifier" in found.verdict.text


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_twelve_rows_tell_nothing(share: float) -> None:
    """However well it looks, with twelve rows one is eight points."""
    rows = tickets(12)

    found = judged(rows, base=right(rows, 0.0), tuned=right(rows, share))

    assert kind(found) is VerdictKind.TOO_FEW_ROWS
    assert found.verdict is not None
    assert "12 rows" in found.verdict.text


def test_a_small_lead_on_few_rows_asks_for_more_of_them() -> None:
    """Between better and not better lies what so few rows cannot tell, with how many more would."""
    rows = tickets(40)

    found = judged(rows, base=right(rows, 0.5, 3), tuned=right(rows, 0.7, 4))

    assert kind(found) is VerdictKind.TOO_FEW_ROWS
    assert found.verdict is not None
    assert "times as many rows would settle it" in found.verdict.text


def test_a_prompted_base_is_read_generously_and_the_tuned_model_exactly() -> None:
    """Talk around a label costs the tuned model its row, not the base."""
    rows = tickets(30)
    talk = [f"It is {row.output}." for row in rows]

    found = judged(rows, base=talk, tuned=talk)

    base, tuned = found.candidate("base"), found.candidate("tuned")
    assert base is not None
    assert tuned is not None
    assert (base.score, tuned.score) == (1.0, 0.0)


def test_recorded_answers_are_compared_and_do_not_change_the_verdict() -> None:
    """An old model that is better is told as a comparison."""
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
    """Best are rows that only the tuned model has right, worst those that it alone has wrong."""
    rows = tickets(30)
    base = [row.output for row in rows]
    base[4] = "nothing"
    tuned = list(base)
    tuned[4], tuned[7] = rows[4].output, "nothing"

    found = judge(rows, Answers({"base": base, "tuned": tuned}))

    assert found.best_rows[0].row == 5
    assert (found.worst_rows[0].row, found.worst_rows[0].answers["tuned"]) == (8, "nothing")
    assert found.without_rows().best_rows == ()


def test_a_document_is_the_evaluation() -> None:
    """What was written as JSON comes back equal."""
    rows = tickets(30)
    found = judged(rows, base=right(rows, 0.2), tuned=right(rows, 0.9))

    assert from_document(found.document()) == found
