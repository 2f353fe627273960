"""Which columns become the input and the output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunery.data.columns import Content, choose, content_of, mapping_notes, suggest
from tunery.data.dataset import preview
from tunery.data.tables import Row, Table
from tunery.errors import DatasetInvalid


def table(*columns: str) -> Table:
    return Table("csv", columns, (Row(2, tuple("x" for _ in columns)),), has_header=True)


@pytest.mark.parametrize(
    ("columns", "inputs", "output"),
    [
        (("text_input", "output"), ("text_input",), "output"),
        (("output", "text_input"), ("text_input",), "output"),
        (("input_text", "output_text"), ("input_text",), "output_text"),
        (("id", "Prompt", "Completion"), ("Prompt",), "Completion"),
        (("context", "question", "answer"), ("question", "context"), "answer"),
        (("instruction", "context", "response", "category"), ("instruction", "context"), "response"),
        (("hypothesis", "premise", "label"), ("premise", "hypothesis"), "label"),
        (("system", "prompt", "response"), ("system", "prompt"), "response"),
        (("response", "prompt", "System Prompt"), ("System Prompt", "prompt"), "response"),
        (("\u200btext_input", "out\u00adput"), ("\u200btext_input",), "out\u00adput"),
        (("title", "body", "label"), ("body",), "label"),
        (("category", "text", "date"), ("text",), "category"),
        (("Nachricht", "Filiale", "Thema"), ("Nachricht",), "Thema"),
        (("instruction", "input", "output"), ("instruction", "input"), "output"),
        (("instruction", "output"), ("instruction",), "output"),
        (("text", "foo"), ("text",), "foo"),
        (("foo", "text"), ("text",), "foo"),
        (("label", "foo"), ("foo",), "label"),
        (("foo", "bar"), ("foo",), "bar"),
        (("foo", "bar", "baz"), ("foo",), "bar"),
    ],
)
def test_suggests_by_name_and_else_by_position(columns: tuple[str, ...], inputs: tuple[str, ...], output: str) -> None:
    """Usual names win wherever they stand; without them the first column is the input, the second the output."""
    mapping = suggest(columns)

    assert mapping is not None
    assert (tuple(columns[position] for position in mapping.inputs), columns[mapping.output]) == (inputs, output)


def test_one_column_suggests_nothing() -> None:
    """An input and an output need two columns."""
    assert suggest(("text",)) is None


def test_what_the_caller_names_is_used() -> None:
    """Both may be named, in any case and spelling that is clear."""
    mapping = choose(table("a", "Ticket Text", "b"), "ticket text", "a")

    assert (mapping.inputs, mapping.output, mapping.ignored) == ((1,), 0, (2,))


def test_the_rest_is_completed() -> None:
    """When one is named, the other is suggested from the columns that are left."""
    assert choose(table("text", "label", "note"), input_column="label").output == 0
    assert choose(table("text", "label", "note"), output_column="text").inputs == (1,)
    assert choose(table("text", "label", "note"), output_column="note").inputs == (0,)


def test_several_inputs_keep_their_order() -> None:
    """Input columns are used in the order in which they are named, each once."""
    assert choose(table("a", "b", "output"), ["b", "a", "b"]).inputs == (1, 0)


@pytest.mark.parametrize(
    ("input_column", "output_column", "message"),
    [
        ("nothing", None, "no column 'nothing'. Columns: 'a', 'b'"),
        (None, "nothing", "no column 'nothing'"),
        ([], None, "no column without a name"),
        ("a", "a", "'a' cannot be both"),
        (["a", "b"], None, "All columns are inputs"),
    ],
)
def test_refuses_what_cannot_be(input_column: str | list[str] | None, output_column: str | None, message: str) -> None:
    """Unknown, missing and doubly used columns are named."""
    with pytest.raises(DatasetInvalid, match=message):
        choose(table("a", "b"), input_column, output_column)


def test_two_columns_of_one_name_cannot_be_used() -> None:
    """It would not be clear which one is meant; where they are not used they do no harm."""
    with pytest.raises(DatasetInvalid, match="Columns 1 and 2 are both named 'text'"):
        choose(table("text", "text", "label"))
    assert choose(table("text", "note", "note", "label")).output == 3


def test_refuses_tables_without_rows_or_with_one_column() -> None:
    """No rows, only a header and a single column are told apart."""
    with pytest.raises(DatasetInvalid, match="There are no rows"):
        choose(Table("json", (), ()))
    with pytest.raises(DatasetInvalid, match="only a header"):
        choose(Table("csv", ("text", "label"), (), has_header=True))
    with pytest.raises(DatasetInvalid, match="There is only one column, 'text'"):
        choose(table("text"))


def test_says_what_was_guessed_and_what_is_not_used() -> None:
    """A choice by position and columns left aside are warnings."""
    given = table("foo", "bar", "baz")

    notes = mapping_notes(given, choose(given))

    assert [str(note) for note in notes] == [
        "Using column 'foo' as input and 'bar' as output; this is a guess.",
        "Not used: 'baz'.",
    ]


def test_many_columns_are_not_all_listed() -> None:
    """A message names ten columns and counts the others."""
    given = table("text", "label", *(f"c{number}" for number in range(40)))

    assert mapping_notes(given, choose(given))[-1].message.endswith("'c9' and 30 more.")


TEXTS = [f"My parcel {number} has not arrived although it was promised" for number in range(24)]
LABELS = ["delivery", "billing", "technical"] * 8
CASES = Path(__file__).parents[1] / "fixtures" / "cases"
ASKED = "Which city is named?\ncontext: Order 0 was sent to Lyon last week."
FIRST = "My parcel has not arrived although it was promised for Monday"


def used(*columns: tuple[str, list[str]]) -> tuple[tuple[str, ...], str]:
    """The names of the columns that are chosen among these, each with its cells."""
    names = tuple(name for name, _ in columns)
    rows = tuple(
        Row(number, cells) for number, cells in enumerate(zip(*(cells for _, cells in columns), strict=True), start=2)
    )
    mapping = choose(Table("csv", names, rows, has_header=True))
    return tuple(names[position] for position in mapping.inputs), names[mapping.output]


@pytest.mark.parametrize(
    ("values", "content"),
    [
        ([str(number) for number in range(24)], Content.ROW_NUMBERS),
        (["1", "2", "4", "5", "8"], Content.ROW_NUMBERS),  # some rows were left out
        (["5", "3", "9", "1", "7"], Content.NUMBERS),
        ([f"T-{1000 + number * 7}" for number in range(24)], Content.IDS),
        (["2026/05/01 9:00:00 AM", "2026/05/02 10:15:00 PM"], Content.TIMES),
        (["12.05.2026", "2026-05-12T09:00:00Z", "5/12/26 9:00"], Content.TIMES),
        (["open"] * 24, Content.CONSTANT),
        (["", " ", ""], Content.EMPTY),
        (LABELS, Content.LABELS),
        (TEXTS, Content.TEXT),
        (["open"] * 4, Content.TEXT),  # four rows say little
        ([], Content.TEXT),
    ],
)
def test_what_a_column_holds(values: list[str], content: Content) -> None:
    """Row numbers, ids, dates and columns that are always the same are told from what can be learned."""
    assert content_of(values) is content


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("Unnamed: 0", [str(number) for number in range(24)]),
        ("Unnamed: 0", [str(number * 7 % 24) for number in range(24)]),  # shuffled
        ("no name", [f"T-{1000 + number}" for number in range(24)]),
        ("Timestamp", [f"2026/05/{1 + number} 9:00:00 AM" for number in range(24)]),
        ("status", ["open"] * 24),
        ("ticket", [f"T-{1000 + number}" for number in range(24)]),
        ("user", [f"u{100 + number % 5}" for number in range(24)]),
    ],
)
def test_what_says_nothing_is_neither_input_nor_output(column: str, cells: list[str]) -> None:
    """Row numbers, ids, dates and constants are not learned, wherever they stand and whatever they are called."""
    assert used((column, cells), ("problem", TEXTS), ("justAnswer", LABELS)) == (("problem",), "justAnswer")
    assert used(("problem", TEXTS), (column, cells), ("justAnswer", LABELS)) == (("problem",), "justAnswer")


def test_labels_are_the_output_and_the_longest_text_the_input() -> None:
    """Without usual names, what the columns hold decides; labels in front are the output too."""
    subjects = [text[:12] + str(number) for number, text in enumerate(TEXTS)]
    assert used(("kind", LABELS), ("words", TEXTS)) == (("words",), "kind")
    assert used(("subject", subjects), ("description", TEXTS), ("queue", LABELS)) == (("description",), "queue")


IDS = [f"T-{1000 + number}" for number in range(24)]
SUBJECTS = [f"Parcel {number}" for number in range(24)]
FIRST_NAMES, LAST_NAMES = ("Anna", "Ben", "Cleo", "Dana"), ("Bär", "Cruz", "Diaz", "Eck", "Fox", "Gil")
PEOPLE = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
REPLIES = [f"We are sorry. Parcel {number} leaves tomorrow and will be with you in two days." for number in range(24)]
DAYS = [f"2026-05-{1 + number}" for number in range(24)]
MAILS = [f"anna{number}@example.com" for number in range(24)]


@pytest.mark.parametrize(
    ("columns", "inputs", "output"),
    [
        # T-1000 twice, as where a row was copied
        ({"Ticket": [*IDS[:-1], IDS[0]], "Datum": DAYS, "Nachricht": TEXTS, "Art": LABELS}, ("Nachricht",), "Art"),
        ({"text": IDS, "words": TEXTS, "label": LABELS}, ("words",), "label"),
        ({"message": MAILS, "body of it": TEXTS, "label": LABELS}, ("body of it",), "label"),
        ({"title": SUBJECTS, "words": TEXTS, "label": LABELS}, ("words",), "label"),
        ({"user": PEOPLE, "message": TEXTS, "label": LABELS}, ("message",), "label"),
        ({"text": TEXTS, "label": IDS, "kind": LABELS}, ("text",), "kind"),
        ({"asked": TEXTS, "result": IDS, "kind": LABELS}, ("asked",), "kind"),
        ({"order": [f"about {one}" for one in IDS], "output": IDS, "kind": LABELS}, ("order",), "output"),
        ({"customer": PEOPLE, "asked": TEXTS, "said": REPLIES}, ("asked",), "said"),
        (
            {"phone": [f"+49 170 12345{number}" for number in range(24)], "asked": TEXTS, "said": REPLIES},
            ("asked",),
            "said",
        ),
        ({"prompt": LABELS, "article": TEXTS, "summary": SUBJECTS}, ("prompt", "article"), "summary"),
        ({"text": TEXTS, "answer": DAYS, "kind": LABELS}, ("text",), "answer"),
    ],
)
def test_a_name_that_contradicts_what_a_column_holds_does_not_win(
    columns: dict[str, list[str]], inputs: tuple[str, ...], output: str
) -> None:
    """Long varied texts are the input, labels or texts the output; codes, people and addresses are left out."""
    assert used(*columns.items()) == (inputs, output)


def told(**columns: list[str]) -> list[str]:
    """What is said about the columns that are chosen among these, each with its cells."""
    rows = tuple(Row(number, cells) for number, cells in enumerate(zip(*columns.values(), strict=True), start=2))
    given = Table("csv", tuple(columns), rows, has_header=True)
    return [str(note) for note in mapping_notes(given, choose(given))]


def test_a_text_column_that_is_left_out_is_said() -> None:
    """Longer texts than the input's are left out with a word about them, unless they repeat it or the user chose."""
    sentence = "notes: 'notes' is not used, but has longer texts than the input 'text'. Should the model read it?"
    assert sentence in told(text=SUBJECTS, notes=TEXTS, label=LABELS)
    assert "notes: 'notes' is not used, but has texts, unlike the input 'input'. Should the model read it?" in told(
        input=["3.5", "7.1", "2"] * 8, notes=TEXTS, label=LABELS
    )
    assert not any("Should" in one for one in told(text=TEXTS, whole=[f"Q: {text}" for text in TEXTS], label=LABELS))
    given = Table("csv", ("a", "notes", "b"), tuple(Row(2, row) for row in zip(IDS, TEXTS, LABELS, strict=True)))
    assert not any(note.kind == "unused-text" for note in mapping_notes(given, choose(given, "a", "b")))


def test_a_system_column_is_said() -> None:
    """It becomes part of every input, which nobody sees in the table."""
    assert "system: goes before the input, followed by an empty line." in told(
        system=["Answer in one word."] * 24, prompt=TEXTS, response=LABELS
    )


def test_numbers_in_two_columns_are_taken_by_position() -> None:
    """Where nothing else is left, row numbers may be the input: 1 is followed by 2."""
    numbers = [str(number) for number in range(1, 25)]
    assert used(("x", numbers), ("y", TEXTS)) == (("x",), "y")
    assert used(("text_input", numbers), ("output", [*numbers[1:], "25"])) == (("text_input",), "output")


def test_an_empty_context_is_not_an_input() -> None:
    """Alpaca's `input` is empty in every row of many files."""
    assert used(("instruction", TEXTS), ("input", [""] * 24), ("output", LABELS)) == (("instruction",), "output")


@pytest.mark.parametrize("names", [("instruction", "input"), ("question", "context")])
def test_two_inputs_alone_are_not_both_inputs(names: tuple[str, str]) -> None:
    """One of the two columns is the output, as a guess."""
    mapping = suggest(names)

    assert mapping is not None
    assert (len(mapping.inputs), mapping.is_guessed) == (1, True)


def test_unused_columns_are_named_with_what_they_hold() -> None:
    """It is said why a column cannot be an input."""
    rows = tuple(
        Row(n, (str(n), text, label, "open", "x")) for n, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    )
    given = Table("csv", ("id", "text", "label", "state", "note"), rows, has_header=True)

    assert str(mapping_notes(given, choose(given))[-1]) == (
        "Not used: 'id' (row numbers), 'state' (always the same), 'note' (always the same)."
    )


@pytest.mark.parametrize(
    ("file", "columns", "text_input", "output"),
    [
        ("12-pandas-index/index-column.csv", ("problem",), FIRST, "delivery"),
        ("12-pandas-index/index-column-known-names.csv", ("text",), FIRST, "delivery"),
        ("18-context-column/dolly.jsonl", ("instruction", "context"), f"instruction: {ASKED}", "Lyon"),
        ("18-context-column/squad-like.csv", ("question", "context"), f"question: {ASKED}", "Lyon"),
        ("18-context-column/system-column.jsonl", ("system", "prompt"), "Answer in German.\n\nSay hello", "hallo"),
        ("20-invisible/zwsp-header.csv", ("text_input",), FIRST, "delivery"),
        ("20-invisible/double-mark.csv", ("text_input",), FIRST, "delivery"),
        ("20-invisible/mark-in-header.xlsx", ("text_input",), FIRST, "delivery"),
    ],
)  # fmt: skip
def test_columns_of_real_files(file: str, columns: tuple[str, ...], text_input: str, output: str) -> None:
    """Index columns are left out, contexts and system texts are part of the input, invisible characters no obstacle."""
    found = preview(CASES / file)

    assert found.input_columns == columns
    assert found.first_example is not None
    assert (found.first_example.text_input, found.first_example.output) == (text_input, output)
    assert found.example_count == found.row_count


@pytest.mark.parametrize(("header", "is_said"), [(("Datum", "Kunde"), True), (("Frage", "Kunde"), False)])
def test_an_input_of_dates_is_said(header: tuple[str, str], *, is_said: bool) -> None:
    """A file with a date and a customer can be read, but hardly learned from; who names the column knows."""
    first = "2026-01-0{}" if is_said else "Who bought {}?"
    rows = tuple(Row(n, (first.format(n), f"Someone {n} Ltd")) for n in range(2, 9))
    dates = Table("csv", header, rows, has_header=True)

    notes = [str(note) for note in mapping_notes(dates, choose(dates))]

    assert any("'Datum' has only dates" in note for note in notes) == is_said
    assert not any("only dates" in str(note) for note in mapping_notes(dates, choose(dates, header[0])))
