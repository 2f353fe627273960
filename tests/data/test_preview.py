"""What a file looks like before it is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data import made_workbooks as made
from tunery.data.dataset import SampleRow, preview
from tunery.data.tables import Sheet
from tunery.errors import DatasetInvalid, InvalidArgument, Level
from tunery.types import TuningExample


def test_shows_how_a_csv_was_read(tmp_path: Path) -> None:
    """Format, encoding, delimiter, header, columns and the suggested mapping."""
    path = tmp_path / "tickets.csv"
    path.write_bytes("id;Text;Label\n1;Grüße;hallo\n2;Tschüss;ade\n".encode("cp1252"))

    shown = preview(path)

    assert (shown.source, shown.format, shown.delimiter) == ("tickets.csv", "csv", ";")
    assert (shown.encoding, shown.encoding_is_guessed, shown.has_header) == ("cp1252", True, True)
    assert (shown.columns, shown.input_columns, shown.output_column) == (("id", "Text", "Label"), ("Text",), "Label")
    assert shown.ignored_columns == ("id",)
    assert shown.sample[0] == SampleRow(2, ("1", "Grüße", "hallo"))
    assert shown.first_example == TuningExample("Grüße", "hallo")


def test_shows_the_sheets_of_a_workbook(tmp_path: Path) -> None:
    """All sheets, hidden ones marked, and the one that was read."""
    path = tmp_path / "book.xlsx"
    path.write_bytes(made.xlsx(("One", [["text", "label"], ["a", 7]]), ("Two", [["x", "y"]]), hidden=["Two"]))

    shown = preview(path)

    assert (shown.format, shown.sheet, shown.encoding) == ("xlsx", "One", None)
    assert shown.sheets == (Sheet("One"), Sheet("Two", is_hidden=True))


def test_shows_twenty_rows_and_counts_all(tmp_path: Path) -> None:
    """The sample is short; the counts tell of all rows and of those that can be used."""
    path = tmp_path / "many.csv"
    path.write_text("text,label\n" + "a,b\n" * 30 + "c,\n")

    shown = preview(path)

    assert (len(shown.sample), shown.row_count, shown.example_count) == (20, 31, 30)
    assert [str(p) for p in shown.problems if p.level is Level.ERROR] == ["Row 32, label: empty."]


def test_a_file_of_one_column_is_shown(tmp_path: Path) -> None:
    """The user can see why there is nothing to map and choose another delimiter."""
    path = tmp_path / "one.csv"
    path.write_text("text label\na b\n")

    assert "one-column" in [problem.kind for problem in preview(path).problems]
    path.write_text("text:label\na:b\n")
    assert "no-delimiter" in [problem.kind for problem in preview(path).problems]
    assert preview(path, delimiter=":").input_columns == ("text",)


def test_what_was_found_out_can_be_overruled(tmp_path: Path) -> None:
    """Header, columns and rows follow the options."""
    path = tmp_path / "pairs.csv"
    path.write_text("dog,Hund\ncat,Katze\n")

    shown = preview(path, header=False, input_column="column 2", skip_rows=[1])

    assert (shown.row_count, shown.input_columns, shown.output_column) == (1, ("column 2",), "column 1")


def test_the_sample_can_be_printed(tmp_path: Path) -> None:
    """Half characters are shown as U+FFFD, cells that are no text as nothing."""
    path = tmp_path / "strange.jsonl"
    path.write_text('{"text_input": "a\\ud800\\u0000", "output": ["b"]}\n')

    assert preview(path).sample[0].cells == ("a\ufffd\ufffd", None)


def test_rows_of_every_format_count(tmp_path: Path) -> None:
    """Lines of JSONL that cannot be read are rows of the file, as in a table."""
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "a", "label": "b"}\n{broken\n["c"]\n{"text": "c", "label": ""}\n')

    shown = preview(path)

    assert (shown.example_count, shown.row_count) == (1, 4)
    path.write_text('["c"]\n["d"]\n["e"]\n')
    assert (preview(path).example_count, preview(path).row_count) == (0, 3)


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    """A text file has no sheets, a workbook no delimiter, JSON no header."""
    text, lines, book = tmp_path / "a.csv", tmp_path / "a.jsonl", tmp_path / "a.xlsx"
    text.write_text("text,label\na,b\n")
    lines.write_text('["a", "b"]\n')
    book.write_bytes(made.xlsx(("One", [["text", "label"], ["a", 7]])))

    with pytest.raises(InvalidArgument, match="A text file has no sheet"):
        preview(text, sheet="One")
    with pytest.raises(InvalidArgument, match="A workbook has no delimiter"):
        preview(book, delimiter=";")
    with pytest.raises(InvalidArgument, match="JSON has no header"):
        preview(lines, header=True)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    """Without a table there is nothing to show."""
    path = tmp_path / "photo.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")

    with pytest.raises(DatasetInvalid, match="a picture"):
        preview(path)
