"""Scores of answers against hand-made cases."""

from __future__ import annotations

import pytest

from benchmarks.quality_metrics import OFF_LABEL, accuracy, further_scores, lenient, macro_f1, score, strict

LABELS = ("ham", "spam")


def test_accuracy_is_the_share_of_equal_texts() -> None:
    """Two of four right answers are one half; case counts."""
    assert accuracy(["a", "b", "c", "d"], ["a", "B", "c", ""]) == 0.5


def test_macro_f1_weighs_each_label_alike() -> None:
    """Always answering ham is right for three of four rows and still scores 3/7."""
    assert macro_f1(["ham", "ham", "ham", "spam"], ["ham"] * 4) == pytest.approx((6 / 7 + 0) / 2)


def test_macro_f1_of_right_answers_is_one() -> None:
    """Nothing wrong, full score."""
    assert macro_f1(["ham", "spam"], ["ham", "spam"]) == 1


def test_answer_without_a_label_is_a_miss_for_its_row_only() -> None:
    """An answer that is no label lowers the recall of the expected label, not the precision of another."""
    assert macro_f1(["ham", "ham", "spam"], ["ham", "well", "spam"]) == pytest.approx((2 / 3 + 1) / 2)


def test_macro_f1_agrees_with_scikit_learn() -> None:
    """The score is the one of scikit-learn on the labels that are expected."""
    metrics = pytest.importorskip("sklearn.metrics")
    expected, answers = list("aabbbcccca"), list("abbbcccaxa")

    reference = metrics.f1_score(expected, answers, labels=["a", "b", "c"], average="macro")

    assert macro_f1(expected, answers) == pytest.approx(reference)


def test_metric_is_chosen_by_name() -> None:
    """The names of the tasks give their scores, and what stands beside them."""
    pair = (["ham", "ham", "spam"], ["ham", "ham", "ham"])

    assert (score("accuracy", *pair), score("macro-f1", *pair)) == (accuracy(*pair), macro_f1(*pair))


def test_texts_are_scored_by_words_and_letters_in_common() -> None:
    """ROUGE-L, with chrF beside it; other metrics have nothing beside them."""
    expected, answers = ["a small tool", "a fast tool"], ["a small tool", "nothing"]

    assert score("rouge-l", expected, answers) == 0.5
    assert 0.5 < further_scores("rouge-l", expected, answers)["chrf"] < 0.6
    assert further_scores("accuracy", expected, answers) == {}


def test_strict_reading_only_strips() -> None:
    """Blanks around an answer do not count, everything else does."""
    assert strict(" ham.\n") == "ham."


@pytest.mark.parametrize(
    ("answer", "reading"),
    [("Spam", "spam"), ("This is ham, not spam.", "ham"), ("spammy", OFF_LABEL), ("", OFF_LABEL)],
)
def test_lenient_reading_takes_the_label_named_first(answer: str, reading: str) -> None:
    """The first label that stands in the answer as a word counts, in any case."""
    assert lenient(answer, LABELS) == reading


@pytest.mark.parametrize(("answer", "reading"), [("8.\nBecause", "8"), (" VIII ", "VIII"), ("", "")])
def test_lenient_reading_of_free_text_is_its_first_line(answer: str, reading: str) -> None:
    """Without labels the first line counts, without a full stop."""
    assert lenient(answer, ()) == reading
