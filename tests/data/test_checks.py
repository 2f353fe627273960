"""Errors and warnings about rows."""

from __future__ import annotations

import pytest

from tunery.data.checks import check_examples, check_rows, long_outputs, long_rows, order_problems
from tunery.data.columns import Mapping
from tunery.data.tables import BadCell, Cell, Row, Table
from tunery.errors import DataProblem, Level
from tunery.types import TuningExample


def problems_of(*rows: tuple[Cell, Cell]) -> list[tuple[int | None, str | None, str]]:
    """Errors of a table with these rows; the first is row 2."""
    table = Table("csv", ("text", "label"), tuple(Row(number, cells) for number, cells in enumerate(rows, start=2)))
    checked = check_rows(table, Mapping((0,), 1, ()))
    return [(p.row, p.column, p.message) for p in checked.problems if p.level is Level.ERROR]


def warnings_of(*examples: tuple[str, str]) -> list[tuple[str, int | None, str]]:
    found = check_examples([TuningExample(*pair) for pair in examples], range(1, len(examples) + 1))
    return [(problem.kind, problem.row, problem.message) for problem in found]


@pytest.mark.parametrize("blank", [None, "", "   ", "\n\t", "\u00a0"])
def test_blank_cells_are_empty(blank: str | None) -> None:
    """Nothing and blanks alone are empty, on both sides."""
    assert problems_of((blank, blank)) == [(2, "text", "empty."), (2, "label", "empty.")]


def test_nul_and_half_characters_are_named_by_their_place() -> None:
    """Both are refused with row, column and character."""
    assert problems_of(("a\0b", "x"), ("c", "ab\ud83d")) == [
        (2, "text", "a NUL at character 2; this is not text."),
        (3, "label", "half of a character (U+D83D) at character 3."),
    ]


def test_a_cell_that_is_no_text_is_refused_once() -> None:
    """A formula or list is one problem and not also an empty cell."""
    assert problems_of((BadCell("formula", "a formula."), "x")) == [(2, "text", "a formula.")]


def test_problems_of_other_columns_do_not_count() -> None:
    """What stands in a column that is not used harms nobody."""
    note = DataProblem("number-as-text", "a number.", Level.WARNING, row=2, column="date")
    table = Table("csv", ("text", "label", "date"), (Row(2, ("a", "b", BadCell("formula", "f"))),), (note,))

    checked = check_rows(table, Mapping((0,), 1, (2,)))

    assert [problem.kind for problem in checked.problems] == ["few-examples"]
    assert checked.examples == (TuningExample("a", "b"),)


def test_bad_rows_count_when_it_is_asked_whether_there_are_enough() -> None:
    """The number of examples is that of the file, so that it does not depend on other problems."""
    rows = tuple(Row(number, ("a", "")) for number in range(30))

    checked = check_rows(Table("csv", ("text", "label"), rows), Mapping((0,), 1, ()))

    assert {problem.kind for problem in checked.problems} == {"empty-output"}


def test_duplicates_point_at_the_first() -> None:
    """Each repetition names the row it repeats."""
    assert warnings_of(("a", "b"), ("c", "d"), ("a", "b"), ("a", "b")) == [
        ("duplicate", 3, "the same as row 1."),
        ("duplicate", 4, "the same as row 1."),
    ]


def test_contradictions_are_named() -> None:
    """The same input with another output is a contradiction, and its repetition a duplicate."""
    assert warnings_of(("a", "b"), ("a", "c"), ("a", "c")) == [
        ("contradiction", 2, "the same input as row 1, but a different output."),
        ("duplicate", 3, "the same as row 2."),
    ]


def test_blank_edges_are_named() -> None:
    """Texts are kept as they are, and the user is told."""
    assert [row for kind, row, _ in warnings_of((" a", "b"), ("c", "d\n"), ("e f", "g")) if kind == "blank-edges"] == [
        1,
        2,
    ]


@pytest.mark.parametrize("text", ["nan", "NaN", "NULL", "None", "#N/A", "n/a"])
def test_missing_values_are_named(text: str) -> None:
    """The traces of a missing cell are a warning, since they may be meant."""
    assert warnings_of(("a", text))[0][:2] == ("missing-value", 1)


def test_lost_characters_are_named() -> None:
    """U+FFFD says that something was lost before."""
    assert warnings_of(("caf\ufffd", "b"))[0][:2] == ("lost-character", 1)


def test_a_label_seen_once_is_named() -> None:
    """In a set of labels, the one that comes only once may be misspelt."""
    examples = [(f"text {n}", ("spam", "ham")[n % 2]) for n in range(12)] + [("text 12", "spamm")]

    assert warnings_of(*examples) == [
        ("label-variant", 13, "'spamm' is probably another spelling of 'spam'."),
        ("single-label", 13, "no other row has the output 'spamm'."),
    ]


def test_inputs_that_differ_in_signs_only_are_named() -> None:
    """Case, blanks and punctuation do not make another row; a sign before a number does."""
    examples = [("Where is it?", "here"), ("where is  it", "there"), ("5", "a"), ("-5", "b")]

    assert warnings_of(*examples) == [
        ("near-duplicate", 2, "differs from row 1 only in case, whitespace or punctuation.")
    ]


def test_free_answers_are_no_labels() -> None:
    """Where most outputs differ, or are long, nothing is said about those seen once."""
    assert warnings_of(*((f"text {n}", f"answer {n}") for n in range(30))) == []
    assert warnings_of(*((f"text {n}", "x" * 101) for n in range(30)), ("text", "y" * 101)) == []


def test_long_rows_come_from_token_counts() -> None:
    """Counts above the window are warnings with both numbers and the row in the file."""
    (problem,) = long_rows([10, 9_000], 8_192, rows=[2, 122])

    assert str(problem) == "Row 122: 9,000 tokens, limit 8,192."
    assert (problem.level, problem.limit, problem.actual) == (Level.WARNING, 8_192, 9_000)
    assert long_rows([8_192], 8_192) == ()


def test_outputs_beyond_the_window_are_errors_with_their_rows() -> None:
    """An output is never cut: its row is an error with row, column and figures, and not a warning too."""
    (problem,) = long_outputs({1: 11_628}, 8_192, rows=[2, 22], column="answer")

    assert (problem.level, problem.row, problem.column) == (Level.ERROR, 22, "answer")
    assert (problem.limit, problem.actual) == (8_192, 11_628)
    assert str(problem).startswith("Row 22, answer: 11,628 tokens with the chat template, limit 8,192:")
    assert long_rows([10, 11_628], 8_192, rows=[2, 22], without={1: 11_628}) == ()


def test_problems_stand_in_the_order_of_rows() -> None:
    """The whole file first, then row by row."""
    problems = [DataProblem("b", "x", row=3), DataProblem("a", "x"), DataProblem("c", "x", row=1)]

    assert [problem.row for problem in order_problems(problems)] == [None, 1, 3]


def test_thousands_of_problems_of_one_kind_are_counted() -> None:
    """A thousand are listed, one line says how many more there are."""
    problems = order_problems([DataProblem("a", "x", row=n + 1, column="text") for n in range(1_500)])

    assert len(problems) == 1_001
    assert (problems[-1].message, problems[-1].actual) == ("500 more problems of kind 'a' are not listed.", 1_500)
