"""Errors and warnings about rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunery.cli.output import problem_lines
from tunery.data.checks import check_examples, check_rows, long_outputs, long_rows, order_problems
from tunery.data.columns import Mapping, choose
from tunery.data.dataset import Dataset, preview
from tunery.data.tables import BadCell, Cell, Row, Table
from tunery.errors import DataProblem, DatasetInvalid, Level, told_together
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


@pytest.mark.parametrize("text", ["nan", "NaN", "NULL", "None", "#N/A", "n/a", "NA"])
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
    assert str(problem).startswith("Row 22, answer: 11,628 tokens with the chat template, limit 8,192.")
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


CASES = Path(__file__).parents[1] / "fixtures" / "cases"
TEXTS = [f"My parcel {number} has not arrived" for number in range(24)]
LABELS = ["delivery", "billing", "technical"] * 8


def checked(columns: tuple[str, ...], *rows: tuple[Cell, ...]) -> tuple[list[TuningExample], list[str]]:
    """The examples and the sentences about a table."""
    table = Table("csv", columns, tuple(Row(number, cells) for number, cells in enumerate(rows, start=2)), (), True)
    found = check_rows(table, choose(table))
    return list(found.examples), [str(problem) for problem in found.problems]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("", "label: all 24 rows are empty. Is another column the output?"),
        (
            " x ",
            "label: all 24 rows begin or end with whitespace (first: row 2). The model learns it too; remove it from "
            "the file unless you want it.",
        ),
        (
            "caf\ufffd",
            "label: all 24 rows contain U+FFFD (first: row 2): characters were lost before this file was made. "
            "Export it again, as UTF-8.",
        ),
        (
            "None",
            "label: all 24 rows look like missing values (first: row 2): 'None' looks like a missing value. If nothing "
            "is missing there, ignore this.",
        ),
    ],
)
def test_what_all_rows_have_is_one_sentence(output: str, sentence: str) -> None:
    """The cause is in the file, not in 24 rows; likely cause first, then what to do."""
    said = checked(("text", "label"), *((text, output) for text in TEXTS))[1]

    assert [one for one in said if "have the output" not in one] == [sentence]


def test_one_output_for_every_row_is_said() -> None:
    """Such data teaches a single answer; the sentence has the rows and the output, and none stands at each row."""
    said = checked(("text", "label"), *((text, " billing") for text in TEXTS))[1]

    assert "All 24 rows have the output 'billing', so the model will give that answer to any input." in said[0]
    assert len(checked(("text", "label"), *zip(TEXTS, LABELS, strict=True))[1]) == 0


def test_one_row_many_times_is_said() -> None:
    """The file is one example, however long it is; that it repeats earlier rows is not said as well."""
    said = checked(("text", "label"), *[("My parcel", "delivery")] * 24)[1]

    assert said == ["All 24 rows are the same. There is nothing to learn but this one answer; add other rows."]


def test_what_most_rows_have_is_one_warning_and_errors_keep_their_rows() -> None:
    """A warning about most rows has no row; errors that skipping solves have theirs."""
    rows = [(f"{text} ", "" if number < 20 else LABELS[number]) for number, text in enumerate(TEXTS)]
    table = Table("csv", ("text", "label"), tuple(Row(number, cells) for number, cells in enumerate(rows, start=2)))

    problems = check_rows(table, Mapping((0,), 1, ())).problems

    assert [problem.row for problem in problems if problem.kind == "empty-output"] == list(range(2, 22))
    assert all(problem.is_skippable for problem in problems if problem.kind == "empty-output")


@pytest.mark.parametrize(("rows", "count"), [(2_000, 1), (5_000, 1_001)])
def test_a_warning_is_of_the_file_if_it_hits_more_than_half(rows: int, count: int) -> None:
    """1,500 of 2,000 rows are one problem; 1,500 of 5,000 are listed and cut."""
    problems = [DataProblem("duplicate", "the same as row 2.", Level.WARNING, row=n + 2) for n in range(1_500)]

    found = order_problems(problems, rows)

    assert len(found) == count
    if count == 1:
        assert (found[0].row, found[0].actual, found[0].is_skippable) == (None, 1_500, False)
        assert str(found[0]).startswith("1,500 of 2,000 rows repeat an earlier row (first: row 2).")


def test_five_thousand_rows_say_a_few_sentences() -> None:
    """Whatever is wrong with all rows of a large file, its problems can be read at a glance."""
    rows = [(f" parcel {n % 50}", (" NA", " none", " caf\ufffd")[n % 3]) for n in range(5_000)]

    table = Table("csv", ("text", "label"), tuple(Row(number, cells) for number, cells in enumerate(rows, start=2)))

    assert len(list(problem_lines(check_rows(table, Mapping((0,), 1, ())).problems))) < 15


def test_a_second_header_is_left_out() -> None:
    """Two files in one bring their column names along, with or without a mark."""
    dataset = Dataset.read(CASES / "20-invisible" / "two-files-joined.csv")

    assert (len(dataset), 14 in dataset.rows) == (24, False)
    assert "Row 14 was left out: they repeat the column names." in map(str, dataset.problems)


def test_column_names_among_records_are_left_out() -> None:
    """A JSON list may have been joined from two as well."""
    rows = [{"question": text, "answer": label} for text, label in zip(TEXTS, LABELS, strict=True)]

    dataset = Dataset.from_records([*rows, {"question": "Question", "answer": "Answer"}])

    assert len(dataset) == 24
    assert "Row 25 was left out: they repeat the column names." in map(str, dataset.problems)


@pytest.mark.parametrize(
    ("column", "good", "bad"), [("weight", "1", "0"), ("weight", "1.0", "0.0"), ("label", "True", "False")]
)
def test_rows_that_are_not_to_be_learned_are_left_out(column: str, good: str, bad: str) -> None:
    """A weight of 0, or a label that says the answer is wrong."""
    rows = [
        (text, label, (good, bad)[number % 2]) for number, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    ]

    examples, said = checked(("prompt", "completion", column), *rows)

    assert [example.text_input for example in examples] == TEXTS[::2]
    assert f"12 rows (first: row 3) were left out: their {column!r} is {bad.lower()}." in said


@pytest.mark.parametrize(
    ("column", "values"), [("weight", ("0.5", "0")), ("label", ("good", "false")), ("w", ("1", "0"))]
)
def test_other_values_leave_nothing_out(column: str, values: tuple[str, str]) -> None:
    """Only where all rows say yes or no does the column decide."""
    rows = [(text, label, values[number % 2]) for number, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))]

    assert len(checked(("prompt", "completion", column), *rows)[0]) == 24


def test_a_boolean_label_that_is_the_output_is_learned() -> None:
    """`label` is an output first of all."""
    assert len(checked(("text", "label"), *((text, ("true", "false")[n % 2]) for n, text in enumerate(TEXTS)))[0]) == 24


def test_nothing_left_to_learn_is_an_error() -> None:
    """If every row is left out, that is said, not that there are no rows."""
    said = checked(("prompt", "completion", "weight"), *((text, "x", "0") for text in TEXTS))[1]

    assert "All rows were left out: their 'weight' is 0." in said


def test_a_column_that_decides_the_output_is_named() -> None:
    """Where inputs contradict each other, but not together with an unused column, that column is missing."""
    cities = ["Lyon", "Graz", "Porto", "Turin", "Gent", "Brno"]
    asked = ["Which city is named?", "Where was it sent?"]
    rows = [(asked[day], f"{city}, day {day}", city) for day in range(2) for city in cities]

    said = checked(("question", "background", "answer"), *rows)[1]

    assert (
        "The outputs depend on 'background', which is not used: 12 rows have the same input as a row with another "
        "output. Make that column an input too."
    ) in said
    assert not any("different output" in sentence for sentence in said)


def test_a_few_contradictions_are_no_missing_column() -> None:
    """Any column of different texts would explain a single contradiction."""
    rows = [(text, f"note {number}", label) for number, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))]

    said = checked(("text", "note", "label"), *rows, (TEXTS[0], "note 30", "billing"))[1]

    assert "Row 26: the same input as row 2, but a different output." in said


def test_the_marks_of_an_old_tool_are_one_warning() -> None:
    """A blank before, END behind and ### behind the input: one sentence that says what it means for later calls."""
    found = preview(CASES / "35-legacy-completion" / "prepared.jsonl")

    assert found.example_count == 24
    assert found.first_example is not None
    assert found.first_example.output == " delivery END"
    assert [str(problem) for problem in found.problems] == [
        "The outputs of all 24 rows begin with a space and end in ' END', and the inputs end in '\\n\\n###\\n\\n', as "
        "in files for OpenAI's old models. The model learns this: its answers will begin with a space and end in "
        "' END' too, and later inputs must end in '\\n\\n###\\n\\n' too. Remove these marks from the file unless your "
        "programs expect them."
    ]


@pytest.mark.parametrize("outputs", [["The END", "yes", "no"], ["a", "b", "c"], [" a", " b", " c"]])
def test_one_mark_alone_is_no_old_tool(outputs: list[str]) -> None:
    """A word that ends some rows, or a blank before all of them, has other causes."""
    assert not any(
        "old models" in sentence for sentence in checked(("text", "label"), *zip(TEXTS, outputs * 8, strict=True))[1]
    )


@pytest.mark.parametrize("name", ["na.csv", "na.jsonl", "na.xlsx"])
def test_words_for_nothing_are_texts(name: str) -> None:
    """NA, None, null and NaN are kept as they are written, in every format."""
    dataset = Dataset.read(CASES / "37-na-labels" / name)

    outputs = [example.output for example in dataset.examples]
    assert outputs[:8] == ["NA", "NO", "None", "null", "NaN", "N/A", "true", "FALSE"]
    assert len(outputs) == 13


def test_nothing_is_not_the_word_for_it() -> None:
    """A null in a record, and pandas' NaN, are errors of their rows and no texts."""
    with pytest.raises(DatasetInvalid) as caught:
        Dataset.from_records(
            [
                {"text_input": "a", "output": "NA"},
                *({"text_input": "b", "output": empty} for empty in (None, float("nan"))),
            ]
        )

    assert [(p.kind, p.row) for p in caught.value.problems if p.level is Level.ERROR] == [
        ("empty-output", 2),
        ("empty-output", 3),
    ]


def test_labels_that_look_alike_are_named() -> None:
    """It is said which invisible character makes the difference."""
    dataset = Dataset.read(CASES / "20-invisible" / "nbsp.csv")

    said = [str(problem) for problem in dataset.problems]
    assert "Row 3, output: 'billing\\u200f' differs from 'billing' only in an invisible character (U+200F)." in said
    assert "Row 4, output: 'technical\\u200b' differs from 'technical' only in an invisible character (U+200B)." in said
    assert "Rows 2, 6, 10, 14, 18 and 1 more, output: begins or ends with whitespace (U+00A0)." in [
        sentence for sentence, _ in told_together(dataset.problems, str)
    ]
    assert dataset.examples[1].output == "billing\u200f"


@pytest.mark.parametrize(
    "label", ["de\u00adlivery", "\uff44\uff45\uff4c\uff49\uff56\uff45\uff52\uff59", "delivery\u200b", "\ufeffdelivery"]
)
def test_every_way_of_looking_alike_is_found(label: str) -> None:
    """Soft hyphens, full-width letters, zero-width blanks and marks."""
    kinds = [
        kind for kind, _, _ in warnings_of(*((text, label if n == 3 else "delivery") for n, text in enumerate(TEXTS)))
    ]

    assert "label-variant" in kinds


def test_inputs_that_look_alike_are_near_duplicates() -> None:
    """An invisible character makes no other question."""
    assert [kind for kind, _, _ in warnings_of(("Where is it?", "a"), ("Where\u00a0is\u200b it?", "a"))] == [
        "near-duplicate"
    ]
