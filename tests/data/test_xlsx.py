"""Cells of XLSX workbooks as a sheet shows them."""

from __future__ import annotations

import io
from pathlib import Path

import openpyxl
import pytest

from tests.data import made_workbooks as made
from tunery.data.dataset import Dataset, preview
from tunery.data.tables import BadCell, Cell, Table, TableOptions
from tunery.data.workbooks import read_workbook
from tunery.errors import DatasetInvalid

CASES = Path(__file__).parents[1] / "fixtures" / "cases"


def read(data: bytes) -> Table:
    return read_workbook(data, TableOptions(header=False))


def row(cells: str, shared_texts: list[str] | None = None) -> tuple[Cell, ...]:
    return read(made.xlsx_with_sheet(f"<row>{cells}</row>", shared_texts or [])).rows[0].cells


def outputs(path: Path) -> list[str]:
    return [example.output for example in Dataset.read(path).examples]


def test_filtered_rows_are_not_learned() -> None:
    """Eight of 24 rows were filtered away, with a label that is wrong."""
    path = CASES / "04-hidden-rows" / "filtered.xlsx"

    assert (len(outputs(path)), "OLD WRONG LABEL" in outputs(path)) == (16, False)
    assert len(Dataset.read(path, hidden_rows=True)) == 24


def test_the_visible_label_is_meant() -> None:
    """A hidden column of drafts is called `answer`, the usual name of an output."""
    assert set(outputs(CASES / "04-hidden-rows" / "hidden-column.xlsx")) == {"delivery", "billing", "technical"}


def test_number_formats_are_followed() -> None:
    """Postal codes and telephone numbers keep their zeros, shares their percent, prices their currency."""
    assert outputs(CASES / "06-leading-zeros" / "zip.xlsx") == [
        "02494", "12010", "00501", "00007", "80922", "12205", "06791", "00013",
    ]  # fmt: skip
    assert outputs(CASES / "06-leading-zeros" / "phone-and-percent.xlsx") == [
        "0301234567", "089123456", "25%", "100%", "1,234.50 EUR", "20.00 EUR", "15.03.2023", "00:15", "7",
    ]  # fmt: skip


def test_a_format_that_is_not_followed_is_named() -> None:
    """Once for each column and format, with the first row and how many."""
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    for number, code in ((0.5, "# ?/8"), (0.25, "# ?/8"), (45000, "mm-dd-yy"), (7, "0")):
        sheet.append(["text", number])
        sheet.cell(sheet.max_row, 2).number_format = code
    target = io.BytesIO()
    workbook.save(target)

    table = read(target.getvalue())

    assert [row.cells[1] for row in table.rows] == ["0.5", "0.25", "3/15/2023", "7"]
    assert [str(problem) for problem in table.problems] == [
        "Row 1, column 2: the number format '# ?/8' is not supported; it was read as '0.5', "
        "like 1 more in this column.",
        "Row 3, column 2: the sheet shows this date or time in the system's format; it was read as '3/15/2023'.",
    ]


def test_escapes_are_decoded() -> None:
    """A line break is a line feed, an escaped underscore begins no escape, and pairs are one character."""
    table = read_workbook((CASES / "21-x000d" / "escapes.xlsx").read_bytes(), TableOptions())

    assert [row.cells for row in table.rows] == [
        ("Line one\nline two", "first\nsecond"),
        ("The code is _x000D_ literally", "a_b"),
        ("tab\there", "ok"),
    ]
    assert row('<c t="str"><f>A1</f><v>_xD83D__xDE00_ _x00e9_ _x00_</v></c><c><v>1</v></c>')[0] == "😀 é _x00_"


def test_strict_open_xml_is_read() -> None:
    """Its dates are stored as texts and shown by their format."""
    found = outputs(CASES / "27-strict" / "strict.xlsx")

    assert (len(found), found[-2:]) == (8, ["2024-02-16", "7"])


@pytest.mark.parametrize(
    ("value", "text"),
    [("2024-02-16T00:00:00", "2024-02-16"), ("2024-02-16T13:04:05Z", "2024-02-16 13:04:05"), ("Feb", "Feb")],
)
def test_stored_dates_without_a_format(value: str, text: str) -> None:
    """They come as ISO 8601, and what is no date as it is."""
    assert row(f'<c t="d"><v>{value}</v></c><c><v>1</v></c>')[0] == text


def test_formulas_keep_the_text_they_gave() -> None:
    """Digits that a formula gave as text stay text; a number stored with a zero is a number and named."""
    shown = preview(CASES / "30-formula-text" / "references.xlsx")

    assert [row.cells[1] for row in shown.sample] == ["0100", "00042", "219E01", None, "TRUE", "007", "42", "100"]
    assert [str(problem) for problem in shown.problems][1:] == [
        "Row 5, label: empty.",
        "Row 9, label: the number is stored as '0100'; it was read as '100'.",
    ]


def test_furigana_is_no_text() -> None:
    """How a name is pronounced stands beside it in the file."""
    examples = Dataset.read(CASES / "44-furigana" / "furigana.xlsx").examples

    assert [(example.text_input, example.output) for example in examples] == [
        ("共通の質問", "東京都"),
        ("日本語あいうえお", "漢字"),
    ]
    assert row('<c t="inlineStr"><is><t>漢</t><rPh><t>カン</t></rPh></is></c><c><v>1</v></c>')[0] == "漢"


def test_errors_and_shared_texts() -> None:
    """An error is told by its name, and a text that is not in the list is damage."""
    cells = '<c t="s"><v>0</v></c><c t="e"><v>#N/A</v></c>'

    assert row(cells, ["one"]) == ("one", BadCell("cell-error", "the error #N/A, not text."))
    with pytest.raises(DatasetInvalid, match="damaged"):
        row('<c t="s"><v>1</v></c>', ["one"])


def test_an_empty_workbook_has_no_styles() -> None:
    """Parts that are not needed may be missing."""
    workbook = made.without_member(made.xlsx(("Sheet", [["a", 7]])), "xl/styles.xml")

    assert read(workbook).rows[0].cells == ("a", "7")
