"""Whether the first row is a header, and the names of columns."""

from __future__ import annotations

import pytest

from tunery.data.columns import NamedRows, is_known_name, name_columns
from tunery.data.tables import Row

LONG = "I have been waiting for my parcel for two weeks and nobody answers"


def named(*rows: tuple[str, ...], header: bool | None = None) -> NamedRows:
    return name_columns([Row(number, cells) for number, cells in enumerate(rows, start=1)], header)


@pytest.mark.parametrize(
    "header", [("text_input", "output"), ("Prompt", "Completion"), ("Frage", "x"), ("a", "LABEL"), ("Text input:", "x")]
)
def test_known_names_are_a_header(header: tuple[str, str]) -> None:
    """One usual name, in any case, settles it without a warning."""
    found = named(header, ("hello", "you"))

    assert (found.columns, found.has_header, found.problems) == (tuple(name.strip() for name in header), True, ())
    assert [row.number for row in found.rows] == [2]


def test_numbers_are_no_header() -> None:
    """The page's example "1,2" begins with data, beyond doubt."""
    found = named(("1", "2"), ("3", "4"))

    assert (found.columns, found.has_header, found.problems) == (("column 1", "column 2"), False, ())


def test_a_label_that_comes_again_is_no_header() -> None:
    """A value of the first row that stands below too is data."""
    assert not named(("dear", "positive"), ("awful", "negative"), ("sweet", "positive")).has_header


def test_long_text_is_no_header() -> None:
    """A sentence is no name, not even beside a usual one."""
    assert not named((LONG, "label"), ("short", "b")).has_header


def test_short_names_above_long_texts_are_a_header_with_a_warning() -> None:
    """An unknown header is a guess that is said."""
    found = named(("mail", "team"), (LONG, "billing"), (LONG, "delivery"))

    assert found.has_header
    assert str(found.problems[0]) == "Row 1: read as the column names; this is a guess."


def test_names_above_numbers_are_a_header_with_a_warning() -> None:
    """Words above a column of numbers are names."""
    found = named(("mail", "stars"), ("good", "5"), ("bad", "1"))

    assert (found.has_header, len(found.problems)) == (True, 1)


def test_word_pairs_are_data_with_a_warning() -> None:
    """Where the first row looks like the others it is an example, and that is said."""
    found = named(("dog", "Hund"), ("cat", "Katze"))

    assert not found.has_header
    assert "read as an example" in found.problems[0].message


@pytest.mark.parametrize("header", [True, False])
def test_the_caller_decides(header: bool) -> None:
    """What is given is not guessed, and not warned about."""
    found = named(("dog", "Hund"), ("cat", "Katze"), header=header)

    assert (found.has_header, found.problems) == (header, ())


def test_columns_without_anything_are_dropped() -> None:
    """An empty column is no column; a nameless one is called by its position."""
    found = named(("text", "", "", "label"), ("a", "", "x", "b"))

    assert found.columns == ("text", "column 3", "label")
    assert found.positions == (0, 2, 3)
    assert found.rows[0].cells == ("a", "x", "b")


def test_no_rows_have_no_columns() -> None:
    """Nothing in, nothing out."""
    assert named().columns == ()


def test_long_or_strange_names_fit_into_a_message() -> None:
    """A name is cut after 100 characters, and holds no half characters."""
    found = named(("x" * 5_000, "a\ud800\0b"), ("a", "b"), header=True)

    assert found.columns == ("x" * 100, "a\ufffd\ufffdb")


def test_only_text_can_be_a_known_name() -> None:
    """An empty cell is none."""
    assert is_known_name("Output ")
    assert not is_known_name(None)
