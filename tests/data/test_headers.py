"""Whether the first row is a header, and the names of columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunery.data.columns import is_known_name
from tunery.data.dataset import Dataset
from tunery.data.headers import NamedRows, name_columns
from tunery.data.tables import Row
from tunery.errors import DatasetInvalid

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
    found = named(("mail", "queue"), (LONG, "billing"), (LONG, "delivery"))

    assert found.has_header
    assert str(found.problems[0]) == "Row 1: read as the column names, but may be an example: 'mail', 'queue'."


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


TEXTS = [f"My parcel {number} has not arrived although it was promised" for number in range(24)]
LABELS = ["delivery", "billing", "technical"] * 8
ROWS = list(zip(TEXTS, LABELS, strict=True))
NUMBERED = [(str(number), *row) for number, row in enumerate(ROWS)]
DATED = [(f"2026/05/{1 + number:02} 9:00:00 AM", *row) for number, row in enumerate(ROWS)]
CASES = Path(__file__).parents[1] / "fixtures" / "cases"


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (("", "problem", "justAnswer"), NUMBERED),  # pandas with its index
        (("Unnamed: 0", "problem", "justAnswer"), NUMBERED),
        (("", "0", "1"), NUMBERED),  # pandas without names
        (("0", "1"), ROWS),
        (("Timestamp", "What do you need help with? Please describe it in one sentence.", "Which team?"), DATED),
        (("Zeitstempel", "Beschreiben Sie Ihr Anliegen bitte in einem Satz", "Abteilung"), DATED),
        (("Anliegen", "Abteilung"), ROWS),
        (("text_input", "output"), [*ROWS, ("text_input", "output"), *ROWS]),  # two files in one
    ],
)
def test_a_header_is_found_by_the_rows_below(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Texts above numbers or dates, and a name above labels that is none of them, are beyond doubt."""
    found = named(header, *rows)

    assert (found.header_row, [problem.kind for problem in found.problems]) == (1, [])


@pytest.mark.parametrize(
    "first",
    [
        ("How do I reset my password", "question"),
        ("question", "How do I reset my password"),
        ("Nice app, thanks", "summary"),
        ("user", "Nice app, thanks"),
    ],
)
def test_a_label_that_is_a_usual_name_is_no_header(first: tuple[str, str]) -> None:
    """A usual name that stands below again is a label of a file without a header."""
    at = first.index(next(cell for cell in first if " " not in cell))
    rows = [(text, ("praise", first[at])[number % 2]) for number, text in enumerate(TEXTS)]

    found = named(first, *(rows if at else [(label, text) for text, label in rows]))

    assert (found.has_header, found.problems) == (False, ())


def test_a_usual_name_beside_a_sentence_is_asked() -> None:
    """A sentence above sentences, and a usual name above other labels: it may be either, and both are shown."""
    found = named(("Where is my parcel, please", "summary"), *ROWS)

    (problem,) = found.problems
    assert (problem.kind, problem.option) == ("guessed-header", "header_row")
    assert [reading.value for reading in problem.readings] == ["1", "0"]
    assert problem.readings[0].rows == (ROWS[0], ROWS[1], ROWS[2])
    assert problem.readings[1].rows == (("Where is my parcel, please", "summary"), ROWS[0], ROWS[1])


def test_a_question_above_answers_is_asked() -> None:
    """With two columns, the questions of a form could be an example."""
    found = named(("What do you need help with? Please describe it in one sentence.", "Which team?"), *ROWS)

    assert (found.has_header, [problem.kind for problem in found.problems]) == (True, ["guessed-header"])


@pytest.mark.parametrize(
    ("above", "said"),
    [
        ([("Support tickets, export of 12 May", "")], "Row 1 is above the column names and was left out: 'Support"),
        ([("Tickets", ""), ("12 May", "")], "Rows 1 to 2 are above the column names and were left out: 'Tickets'"),
        ([("Exported", "12 May"), ("By", "Anna")], "Rows 1 to 2 are above the column names"),
    ],
)
def test_rows_above_the_header_are_left_out(above: list[tuple[str, str]], said: str) -> None:
    """Titles, and facts about the export, are left out, and that is said."""
    found = named(*above, ("text", "label"), *ROWS)

    assert (found.header_row, found.columns, len(found.rows)) == (len(above) + 1, ("text", "label"), 24)
    assert [problem.kind for problem in found.problems] == ["left-out-rows"]
    assert said in str(found.problems[0])
    assert not found.problems[0].is_skippable


def test_a_title_with_a_delimiter_in_its_text_is_left_out() -> None:
    """A title of two cells is no header if the row below looks like names for certain; both readings are told."""
    rows = [(f"{LONG}, {number}", f"00{number % 3}0") for number in range(12)]

    found = named(("Export of tickets", " May"), ("Beschreibung", "Kategorie"), *rows)

    assert (found.columns, found.header_row) == (("Beschreibung", "Kategorie"), 2)
    assert [problem.kind for problem in found.problems] == ["left-out-rows", "guessed-header"]


def test_a_row_without_its_label_is_no_title() -> None:
    """The first row of a file without a header stays, and is reported as incomplete later."""
    assert len(named((TEXTS[0], ""), *ROWS).rows) == 25


def test_the_caller_names_the_row() -> None:
    """The rows above it are left out; 0 says that there is no header; a row that is not there is refused."""
    rows = [Row(number, cells) for number, cells in zip((1, 3, 4), (("a", "b"), ("c", "d"), ("e", "f")), strict=True)]

    assert name_columns(rows, header_row=3).columns == ("c", "d")
    assert name_columns(rows, header_row=3).rows == (rows[2],)
    assert len(name_columns(rows, header_row=0).rows) == 3
    with pytest.raises(DatasetInvalid, match="There is no row 2 to take the column names from; the last is row 4"):
        name_columns(rows, header_row=2)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("What is it?", "Team?"), ('{"ImportId":"QID1"}', '{"ImportId":"QID2"}')], "Rows 2 to 3 hold more"),
        ([("Open-Ended Response", "Response")], "Row 2 holds more column names and was left out"),
    ],
)
def test_survey_programs_write_several_headers(rows: list[tuple[str, str]], said: str) -> None:
    """Qualtrics has three lines of names, SurveyMonkey two."""
    found = named(("Q1", "Q2"), *rows, *ROWS)

    assert found.rows[0].cells == ROWS[0]
    assert said in str(found.problems[-1])


def test_invisible_characters_are_no_part_of_a_name() -> None:
    """Marks and zero-width blanks in a header cannot be seen or typed."""
    found = named(("\ufeff\ufefftext_input", "out\u200bput\u00a0"), *ROWS)

    assert (found.columns, found.problems) == (("text_input", "output"), ())


@pytest.mark.parametrize("name", ["title-padded.csv", "title-known-names.csv", "title.xlsx", "title-other-names.xlsx"])
def test_title_rows_of_real_files(name: str) -> None:
    """The header is in row 3, and 24 examples follow."""
    dataset = Dataset.read(CASES / "13-title-row" / name)

    assert (len(dataset), dataset.rows[0]) == (24, 4)
    assert [problem.kind for problem in dataset.problems] == ["left-out-rows"]
