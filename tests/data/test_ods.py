"""Cells of ODS workbooks as a sheet shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data import made_workbooks as made
from tunery.data.dataset import Dataset, preview
from tunery.data.tables import BadCell, Cell, Sheet, Table, TableOptions
from tunery.data.workbooks import read_workbook
from tunery.errors import DatasetInvalid

CASES = Path(__file__).parents[1] / "fixtures" / "cases"


def read(cells: str) -> Table:
    rows = f"<table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>{cells}</table:table-row>"
    return read_workbook(made.ods_of_xml(rows), TableOptions(header=False))


def cell(content: str, attributes: str = "") -> Cell:
    return read(f"<table:table-cell {attributes}>{content}</table:table-cell>").rows[0].cells[1]


def test_blanks_tabs_and_line_breaks_are_kept() -> None:
    """They are elements in the file; spans and links are text."""
    shown = preview(CASES / "28-ods-spaces" / "spaces.ods")

    assert [row.cells[1] for row in shown.sample] == [
        "def f():\n    return 1",
        "a  b",
        "a\tb",
        "a\nb",
        "a\n\nb",
        "a b c",
        "see this page now",
    ]


def test_blanks_are_kept_and_line_ends_are_blanks() -> None:
    """LibreOffice writes several blanks as they are; a line end is only how the file is laid out."""
    assert cell("<text:p>  a  b<text:span> c</text:span>\n   d</text:p>") == "  a  b c d"


def test_comments_pictures_and_reading_aids_are_no_text() -> None:
    """Only the paragraphs of the cell itself are."""
    examples = Dataset.read(CASES / "29-ods-comment" / "comment.ods").examples
    assert {example.output for example in examples} == {"delivery", "billing", "technical"}

    picture = "<table:shapes><text:p>in a picture</text:p></table:shapes>"
    ruby = "<text:ruby><text:ruby-base>漢</text:ruby-base><text:ruby-text>カン</text:ruby-text></text:ruby>"
    assert (
        cell(f"{picture}<text:p>{ruby}<office:annotation><text:p>no</text:p></office:annotation>字</text:p>") == "漢字"
    )


def test_the_shown_text_counts() -> None:
    """It stands beside the value."""
    shown = preview(CASES / "06-leading-zeros" / "zip.ods")

    assert [row.cells[1] for row in shown.sample][:4] == ["02494", "12010", "00501", "00007"]


@pytest.mark.parametrize(
    ("attributes", "text", "doubt"),
    [
        ('office:value-type="float" office:value="7"', "7", None),
        ('office:value-type="boolean" office:boolean-value="true"', "TRUE", None),
        ('office:value-type="date" office:date-value="2024-01-31T00:00:00"', "2024-01-31", None),
        ('office:value-type="string" office:string-value="a"', "a", None),
        ('office:value-type="percentage" office:value="0.25"', "0.25", "a percentage is stored without the text"),
    ],
)
def test_a_value_without_shown_text(attributes: str, text: str, doubt: str | None) -> None:
    """The value is taken; a share or an amount of money is named."""
    table = read(f"<table:table-cell {attributes}/>")

    assert table.rows[0].cells[1] == text
    assert [doubt or ""] * bool(doubt) == [str(problem)[17 : 17 + len(doubt or "")] for problem in table.problems]


@pytest.mark.parametrize(("shown", "text"), [("4E+01", "42"), ("42", "42"), ("0042", "0042"), ("42.00", "42.00")])
def test_numbers_cut_to_the_width_of_a_column(shown: str, text: str) -> None:
    """Gnumeric stores 4E+01 for 42 in a narrow column; the number counts."""
    number = 'office:value-type="float" office:value="42"'

    assert cell(f"<text:p>{shown}</text:p>", number) == text


@pytest.mark.parametrize(
    "attributes",
    [
        'office:value-type="string" calcext:value-type="error"',
        'table:formula="of:=1/0" office:value-type="string" office:string-value="#DIV/0!"',
    ],
)
def test_errors_are_bad_cells(attributes: str) -> None:
    """As LibreOffice and Gnumeric write them."""
    assert cell("<text:p>#DIV/0!</text:p>", attributes) == BadCell("cell-error", "the error #DIV/0!, not text.")


def test_rows_and_cells_are_repeated() -> None:
    """Also beyond the limits, which is refused before they are laid out."""
    repeated = '<table:table-cell table:number-columns-repeated="{}"><text:p>b</text:p></table:table-cell>'

    assert read(repeated.format(3)).rows[0].cells == ("a", "b", "b", "b")
    with pytest.raises(DatasetInvalid, match="limit 400,000 cells"):
        read(repeated.format(1_000_000_000))
    with pytest.raises(DatasetInvalid, match="more than 67,108,864 characters"):
        cell('<text:p><text:s text:c="1000000000"/></text:p>')


def test_hidden_sheets_are_told_by_their_style() -> None:
    """The first visible sheet is read."""
    style = '<style:style style:name="ta1"><style:table-properties table:display="false"/></style:style>'
    row = "<table:table-row><table:table-cell><text:p>{}</text:p></table:table-cell></table:table-row>"
    hidden = f'</table:table><table:table table:name="Old" table:style-name="ta1">{row.format("x")}'
    workbook = made.ods_of_xml(row.format("a") + hidden, style)

    table = read_workbook(workbook, TableOptions(header=False))

    assert table.sheets == (Sheet("Sheet"), Sheet("Old", is_hidden=True))
    assert [problem.kind for problem in table.problems] == ["hidden-sheets"]
