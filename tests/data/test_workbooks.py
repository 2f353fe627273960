"""XLSX, XLS and ODS to tables."""

from __future__ import annotations

import datetime as dt
import io
import struct
import zipfile
from dataclasses import replace
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import made_workbooks as made
from tunery.data.columns import choose, mapping_notes
from tunery.data.tables import BadCell, Sheet, Table, TableOptions
from tunery.data.workbooks import read_workbook
from tunery.errors import DatasetInvalid, Reading

HEADER = ["text", "label"]
MAKERS = [made.xlsx, made.ods]


def read(data: bytes, *, sheet: str | None = None, header: bool | None = None, hidden_rows: bool = False) -> Table:
    return read_workbook(data, TableOptions(sheet=sheet, header=header, hidden_rows=hidden_rows))


def told(table: Table) -> list[str]:
    return [str(problem) for problem in table.problems]


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
    """Fractions have 15 digits, truth is in capitals, dates and times follow their formats."""
    values = [0.1 + 0.2, 1 / 3, True, dt.date(2024, 1, 31), dt.datetime(2024, 1, 31, 13, 4, 5), dt.time(3, 4)]
    values.append(dt.timedelta(hours=30, minutes=5))

    table = read(made.xlsx(("Sheet", [HEADER, *(["a", value] for value in values)])))

    assert [row.cells[1] for row in table.rows] == [
        "0.3",
        "0.333333333333333",
        "TRUE",
        "2024-01-31",
        "2024-01-31 13:04:05",
        "3:04:00",
        "30:05:00",
    ]
    assert told(table) == [
        "Row 3, label: the sheet may show fewer digits of this number; it was read as '0.333333333333333'."
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
        ("Sheet3", []),
        hidden=["Secret"],
    )

    table = read(workbook)

    assert table.sheet == "Data"
    assert table.sheets[:3] == (Sheet("Cover"), Sheet("Secret", is_hidden=True), Sheet("Data"))
    assert told(table) == [
        "Only sheet 'Data' was read; skipped: 'More'.",
        "Hidden sheet 'Secret' was not read.",
    ]


@pytest.mark.parametrize(
    "before",
    [
        [["About this file", "made in May"], ["Contact", "Anna"]],
        [["Everything is on the next sheet."], *([f"Note {number}"] for number in range(9))],
        [["id", "day"], *([f"T-{number}", f"2026-05-{number}"] for number in range(10, 29))],
    ],
)
def test_the_first_sheet_with_an_input_and_an_output_is_read(before: list[list[str]]) -> None:
    """A sheet that explains, or that holds only codes and days, is passed over and named."""
    tickets = [HEADER, *([f"My parcel {number} is late", ["delivery", "billing"][number % 2]] for number in range(20))]

    table = read(made.xlsx(("Read me", before), ("Tickets", tickets), ("More", tickets)))

    assert (table.sheet, len(table.rows)) == ("Tickets", 20)
    assert told(table) == ["Only sheet 'Tickets' was read; skipped: 'Read me', 'More'."]
    assert read(made.xlsx(("Read me", before))).sheet == "Read me"


def test_what_numbers_says_about_its_export_is_not_the_data() -> None:
    """The sheet that Numbers puts before the tables is passed over, and said; it is read when it is named."""
    workbook = made.xlsx(("Export Summary", [["exported from Numbers", "x"]]), ("Table 1", [HEADER, ["a", "b"]]))

    table = read(workbook)

    assert table.sheet == "Table 1"
    assert told(table) == ["Only sheet 'Table 1' was read; skipped: 'Export Summary'."]
    assert read(workbook, sheet="Export Summary").sheet == "Export Summary"


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


HIDDEN = {
    "xlsx": made.xlsx_with_sheet(
        '<row r="1"><c t="inlineStr"><is><t>text</t></is></c><c t="inlineStr"><is><t>label</t></is></c></row>'
        '<row r="2" hidden="1"><c t="inlineStr"><is><t>old</t></is></c><c t="inlineStr"><is><t>bad</t></is></c></row>'
        '<row r="3" ht="0"><c t="inlineStr"><is><t>older</t></is></c><c t="inlineStr"><is><t>bad</t></is></c></row>'
        '<row r="4" hidden="1"/>'
        '<row r="5"><c t="inlineStr"><is><t>new</t></is></c><c t="inlineStr"><is><t>good</t></is></c></row>'
    ),
    "ods": made.ods_of_xml(
        "<table:table-row><table:table-cell><text:p>text</text:p></table:table-cell>"
        "<table:table-cell><text:p>label</text:p></table:table-cell></table:table-row>"
        '<table:table-row table:visibility="filter"><table:table-cell><text:p>old</text:p></table:table-cell>'
        "<table:table-cell><text:p>bad</text:p></table:table-cell></table:table-row>"
        '<table:table-row-group table:display="false"><table:table-row><table:table-cell><text:p>older</text:p>'
        "</table:table-cell><table:table-cell><text:p>bad</text:p></table:table-cell></table:table-row>"
        "</table:table-row-group>"
        '<table:table-row table:visibility="collapse" table:number-rows-repeated="1"/>'
        "<table:table-row><table:table-cell><text:p>new</text:p></table:table-cell>"
        "<table:table-cell><text:p>good</text:p></table:table-cell></table:table-row>"
    ),
    "xls": made.xls(
        [HEADER, ["old", "bad"], ["older", "bad"], [], ["new", "good"]],
        sheet=b"".join(
            made.record(0x0208, struct.pack("<HHHHHHBBH", row, 0, 2, height, 0, 0, flags, 1, 15))
            for row, height, flags in ((1, 255, 0x20), (2, 0, 0), (3, 255, 0x20), (4, 255, 0))
        ),
    ),
}


@pytest.mark.parametrize("form", HIDDEN)
def test_hidden_rows_are_left_out_and_counted(form: str) -> None:
    """Also those of a closed group or without height; blank ones do not count."""
    table = read(HIDDEN[form])

    assert [(row.number, row.cells) for row in table.rows] == [(5, ("new", "good"))]
    assert told(table) == ["2 hidden rows were left out (first: row 2)."]


def test_hidden_rows_are_a_question() -> None:
    """Both readings begin where the first hidden row is."""
    question = read(HIDDEN["xlsx"]).problems[0]

    assert question.option == "hidden_rows"
    assert question.readings == (
        Reading("false", (("new", "good"),)),
        Reading("true", (("old", "bad"), ("older", "bad"), ("new", "good"))),
    )


@pytest.mark.parametrize("form", HIDDEN)
def test_hidden_rows_are_read_when_they_are_asked_for(form: str) -> None:
    """All rows come, and it is said that some are hidden."""
    table = read(HIDDEN[form], hidden_rows=True)

    assert [row.number for row in table.rows] == [2, 3, 5]
    assert told(table) == ["2 hidden rows were read (first: row 2)."]


def test_a_sheet_of_hidden_rows_is_refused() -> None:
    """Another sheet is not read in its place."""
    hidden = made.xlsx_with_sheet('<row hidden="1"><c><v>1</v></c><c><v>2</v></c></row>')

    with pytest.raises(DatasetInvalid, match="All rows of sheet 'Sheet' are hidden"):
        read(hidden)


def _with_hidden_first_column(form: str) -> bytes:
    rows = [["answer", *HEADER], *[["draft, do not use", f"text {number}", "good"] for number in range(3)]]
    if form == "xls":
        return made.xls(rows, sheet=made.record(0x007D, struct.pack("<HHHHHH", 0, 0, 2048, 15, 1, 0)))
    if form == "ods":
        cells = (
            "".join(f"<table:table-cell><text:p>{text}</text:p></table:table-cell>" for text in row) for row in rows
        )
        lines = "".join(f"<table:table-row>{line}</table:table-row>" for line in cells)
        return made.ods_of_xml(f'<table:table-column table:visibility="collapse"/><table:table-column/>{lines}')
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.active.column_dimensions["A"].hidden = True
    target = io.BytesIO()
    workbook.save(target)
    return target.getvalue()


@pytest.mark.parametrize("form", ["xlsx", "ods", "xls"])
def test_a_hidden_column_never_wins_over_a_visible_one(form: str) -> None:
    """It is named as not used; the caller may still name it."""
    table = read(_with_hidden_first_column(form))

    mapping = choose(table)
    assert [table.columns[place] for place in (*mapping.inputs, mapping.output)] == ["text", "label"]
    assert [str(note) for note in mapping_notes(table, mapping)] == ["Not used: 'answer' (hidden)."]
    assert table.columns[choose(table, output_column="answer").output] == "answer"


def test_a_hidden_column_is_used_if_there_is_no_other() -> None:
    """With a warning."""
    table = replace(read(made.xlsx(("Sheet", [HEADER, ["a", "b"]]))), hidden=frozenset({1}))

    notes = mapping_notes(table, choose(table))

    assert [str(note) for note in notes] == ["label: 'label' is hidden in the sheet, but used."]


def _merged_xlsx() -> bytes:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    for row in (["Title", None], HEADER, ["one", "a"], ["two", None], ["three", "b"], ["four", None], ["wide", None]):
        sheet.append(row)
    for area in ("A1:B1", "B3:B4", "B5:B6", "A7:B7"):
        sheet.merge_cells(area)
    target = io.BytesIO()
    workbook.save(target)
    return target.getvalue()


def _merged_ods() -> bytes:
    def cell(text: str, span: str = "") -> str:
        return f"<table:table-cell {span}><text:p>{text}</text:p></table:table-cell>"

    down, right = 'table:number-rows-spanned="2"', 'table:number-columns-spanned="2"'
    covered = "<table:covered-table-cell><text:p>beneath</text:p></table:covered-table-cell>"
    rows = (
        cell("Title", right) + covered, cell("text") + cell("label"), cell("one") + cell("a", down),
        cell("two") + covered, cell("three") + cell("b", down), cell("four") + covered, cell("wide", right) + covered,
    )  # fmt: skip
    return made.ods_of_xml("".join(f"<table:table-row>{row}</table:table-row>" for row in rows))


def _merged_xls() -> bytes:
    areas = ((0, 0, 0, 1), (2, 3, 1, 1), (4, 5, 1, 1), (6, 6, 0, 1))
    record = struct.pack("<H", len(areas)) + b"".join(struct.pack("<HHHH", *area) for area in areas)
    rows = [["Title"], HEADER, ["one", "a"], ["two", "beneath"], ["three", "b"], ["four", "x"], ["wide"]]
    return made.xls(rows, sheet=made.record(0x00E5, record))


@pytest.mark.parametrize("make", [_merged_xlsx, _merged_ods, _merged_xls])
def test_merged_cells_have_their_value_once(make: Any) -> None:
    """What they cover is empty, and the first of them is named with what to do; a merged title is not."""
    table = read(make(), header=False)

    assert [row.cells for row in table.rows][2:] == [
        ("one", "a"),
        ("two", None),
        ("three", "b"),
        ("four", None),
        ("wide", None),
    ]
    assert told(table) == [
        "Row 1, column 2: cells A1:B1 are merged, like 3 more in this column; only the first has the value. "
        "Unmerge them and fill in the others."
    ]


def test_merged_cells_without_end_are_damage() -> None:
    """Areas that overlap a thousand times are not walked through."""
    cells = '<row r="60000"><c r="E60000"><v>1</v></c></row>'
    areas = "<mergeCells>" + '<mergeCell ref="A1:XFD1048576"/>' * 1_000 + "</mergeCells>"
    workbook = made.xlsx_with_sheet(cells)
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    sheet = sheet.replace("</sheetData>", f"</sheetData>{areas}")

    with pytest.raises(DatasetInvalid, match="damaged"):
        read(made.with_members(workbook, {"xl/worksheets/sheet1.xml": sheet}))


CELLS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co"]), min_size=1).filter(
    lambda text: bool(text.strip()) and not text.startswith("=") and "_x" not in text and not text.startswith("#")
)


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_texts_come_back(rows: list[tuple[str, str]]) -> None:
    """Texts in an XLSX come back unchanged."""
    table = read(made.xlsx(("Sheet", [["text_input", "output"], *rows])))

    assert [row.cells for row in table.rows] == rows
