"""Which columns become the input and the output."""

from __future__ import annotations

import pytest

from tunery.data.columns import choose, mapping_notes, suggest
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
        (("context", "question", "answer"), ("question",), "answer"),
        (("category", "text", "date"), ("text",), "category"),
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
        "Using column 'foo' as input and 'bar' as output, guessed by position.",
        "Not used: 'baz'.",
    ]


def test_many_columns_are_not_all_listed() -> None:
    """A message names ten columns and counts the others."""
    given = table("text", "label", *(f"c{number}" for number in range(40)))

    assert mapping_notes(given, choose(given))[-1].message.endswith("'c9' and 30 more.")
