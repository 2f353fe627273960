"""XLSX, XLS and ODS to tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import made_workbooks as made
from tunery.data.tables import BadCell, Sheet, Table, TableOptions
from tunery.data.workbooks import read_workbook
from tunery.errors import DatasetInvalid

HEADER = ["text", "label"]
MAKERS = [made.xlsx, made.ods]


def read(data: bytes, *, sheet: str | None = None, header: bool | None = None) -> Table:
    return read_workbook(data, TableOptions(sheet=sheet, header=header))


def kinds(table: Table) -> list[str]:
    return [problem.kind for problem in table.problems]


@pytest.mark.parametrize("make", MAKERS)
def test_whole_numbers_stay_whole(make: Any) -> None:
    """7 in a spreadsheet is "7" and not "7.0"."""
    table = read(make(("Sheet", [HEADER, ["seven", 7], ["eight", 8.0], ["minus", -3], ["large", 12345678901]])))

    assert [row.cells[1] for row in table.rows] == ["7", "8", "-3", "12345678901"]
    assert table.problems == ()


def test_xls_is_read() -> None:
    """The old binary format gives the same table."""
    table = read(made.xls([HEADER, ["Grüße", 7.0], ["zwei\nZeilen", "b"]]))

    assert (table.format, table.columns) == ("xls", ("text", "label"))
    assert [(row.number, row.cells) for row in table.rows] == [(2, ("Grüße", "7")), (3, ("zwei\nZeilen", "b"))]


def test_values_look_as_in_the_spreadsheet() -> None:
    """Fractions have 15 digits, truth is in capitals, dates and times are ISO 8601, hours go beyond 24."""
    values = [0.1 + 0.2, True, dt.date(2024, 1, 31), dt.datetime(2024, 1, 31, 13, 4, 5), dt.time(3, 4)]
    values.append(dt.timedelta(hours=30, minutes=5))

    table = read(made.xlsx(("Sheet", [HEADER, *(["a", value] for value in values)])))

    assert [row.cells[1] for row in table.rows] == [
        "0.3",
        "TRUE",
        "2024-01-31",
        "2024-01-31 13:04:05",
        "03:04:00",
        "30:05:00",
    ]
    assert [str(problem) for problem in table.problems] == [
        "Row 2, label: a number or date was read as the text '0.3', like 4 more in this column."
    ]


@pytest.mark.parametrize("make", MAKERS)
def test_rows_keep_the_numbers_of_the_spreadsheet(make: Any) -> None:
    """Blank rows are left out and counted, empty columns are left out."""
    table = read(make(("Sheet", [["", "", ""], ["", *HEADER], ["", "", ""], ["", "a", "b"]])))

    assert (table.columns, table.has_header) == (("text", "label"), True)
    assert [(row.number, row.cells) for row in table.rows] == [(4, ("a", "b"))]


def test_formulas_without_a_stored_value_are_bad_cells() -> None:
    """openpyxl writes formulas so; the cell says what to do about it."""
    table = read(made.xlsx(("Sheet", [HEADER, ["a", "=1+1"], ["=A2", "b"]])))

    assert [[type(cell) for cell in row.cells] for row in table.rows] == [[str, BadCell], [BadCell, str]]
    assert "Open the workbook in a spreadsheet" in table.rows[0].cells[1].message  # type: ignore[union-attr]


def test_formulas_with_a_stored_value_are_their_value() -> None:
    """What a spreadsheet computed is there, also when it is an empty text."""
    cells = '<row><c r="A1"><f>1+1</f><v>2</v></c><c r="B1" t="str"><f>A9</f><v></v></c><c r="C1"><v>3</v></c></row>'

    table = read(made.xlsx_with_sheet(cells), header=False)

    assert table.rows[0].cells == ("2", "3")


def test_formulas_in_ods_are_measured_too() -> None:
    """With a stored value they are that value, without one a bad cell."""
    full = made.ods_cell(valuetype="float", value="2", formula="of:=1+1")
    bare = made.ods_cell(formula="of:=1+1")

    table = read(made.ods(("Sheet", [HEADER, ["a", full], ["b", bare]])))

    assert table.rows[0].cells == ("a", "2")
    assert isinstance(table.rows[1].cells[1], BadCell)


def test_errors_of_the_spreadsheet_are_bad_cells() -> None:
    """#N/A is not the text "#N/A"."""
    cells = '<row><c t="inlineStr"><is><t>a</t></is></c><c t="e"><v>#N/A</v></c></row>'

    table = read(made.xlsx_with_sheet(cells), header=False)

    assert table.rows[0].cells == ("a", BadCell("cell-error", "the error #N/A, not text."))


def test_the_first_filled_visible_sheet_is_read() -> None:
    """Empty and hidden sheets are passed over; what is not read is said."""
    workbook = made.xlsx(
        ("Cover", []),
        ("Secret", [["x", "y"]]),
        ("Data", [HEADER, ["a", "b"]]),
        ("More", [["c", "d"]]),
        hidden=["Secret"],
    )

    table = read(workbook)

    assert table.sheet == "Data"
    assert table.sheets == (Sheet("Cover"), Sheet("Secret", is_hidden=True), Sheet("Data"), Sheet("More"))
    assert kinds(table) == ["several-sheets", "hidden-sheets"]


def test_a_named_sheet_is_read() -> None:
    """Also a hidden one, and without a word about the other visible sheets."""
    workbook = made.xlsx(("Data", [HEADER]), ("Secret", [HEADER, ["a", "b"]]), hidden=["Secret"])

    table = read(workbook, sheet="Secret")

    assert (table.sheet, len(table.rows), table.problems) == ("Secret", 1, ())


def test_an_unknown_sheet_is_refused() -> None:
    """The message lists the sheets there are."""
    with pytest.raises(DatasetInvalid, match=r"no sheet 'Datta'\. Sheets: 'Data'"):
        read(made.xlsx(("Data", [HEADER])), sheet="Datta")


def test_parts_may_be_named_as_on_windows() -> None:
    """Backslashes in the names of members do no harm."""
    workbook = made.xlsx(("Data", [HEADER, ["a", "b"]]))

    assert len(read(made.renamed(workbook, lambda name: name.replace("/", "\\"))).rows) == 1


def test_cells_far_away_are_refused() -> None:
    """Two cells in opposite corners would take gigabytes to lay out."""
    cells = '<row r="1"><c r="A1"><v>1</v></c></row><row r="60000"><c r="BXX60000"><v>1</v></c></row>'

    with pytest.raises(DatasetInvalid, match="spans 60,000 rows and 2,000 columns, limit 400,000 cells"):
        read(made.xlsx_with_sheet(cells))


def test_a_text_in_every_cell_is_refused() -> None:
    """One long shared text that stands in thousands of cells is counted each time."""
    cells = '<row><c t="s"><v>0</v></c><c t="s"><v>0</v></c></row>' * 1_000

    with pytest.raises(DatasetInvalid, match="more than 67,108,864 characters"):
        read(made.xlsx_with_sheet(cells, ["xyz" * 13_000]))


def test_empty_formatted_cells_do_not_count() -> None:
    """Colour down to the last row of the sheet is no content."""
    cells = (
        '<row r="1"><c r="A1"><v>1</v></c><c r="B1"><v>2</v></c></row><row r="1048576"><c r="XFD1048576" s="0"/></row>'
    )

    assert len(read(made.xlsx_with_sheet(cells), header=False).rows) == 1


CELLS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co"]), min_size=1).filter(
    lambda text: bool(text.strip()) and not text.startswith("=") and "_x" not in text and not text.startswith("#")
)


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_texts_come_back(rows: list[tuple[str, str]]) -> None:
    """Texts in an XLSX come back unchanged."""
    table = read(made.xlsx(("Sheet", [["text_input", "output"], *rows])))

    assert [row.cells for row in table.rows] == rows
