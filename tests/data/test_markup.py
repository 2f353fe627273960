"""Web pages, XML spreadsheets and drawn tables that people have as .xls, .csv or .md."""

from __future__ import annotations

import base64
import quopri
from pathlib import Path

import pytest

from tunery.data.dataset import Dataset, preview
from tunery.data.tables import Sheet
from tunery.errors import DatasetInvalid
from tunery.types import TuningExample

CASES = Path(__file__).parents[1] / "fixtures" / "cases"
FIRST = TuningExample("My parcel has not arrived although it was promised for Monday", "delivery")


def write(folder: Path, text: str | bytes, name: str = "file.xls") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "form"),
    [("report.xls", "html"), ("report-mhtml.xls", "html"), ("spreadsheetml.xls", "xml"), ("tabs.xls", "tsv")],
)
def test_files_that_call_themselves_xls_are_read(name: str, form: str) -> None:
    """A web page, a page in a single file, XML of 2003 and tab-separated text have the same eight rows."""
    shown = preview(CASES / "23-fake-xls" / name)

    assert (shown.format, shown.columns, shown.example_count) == (form, ("text", "label"), 8)
    assert shown.first_example == FIRST


def test_a_sign_in_page_is_refused() -> None:
    """What a private sheet gives is named as a web page, in one sentence."""
    with pytest.raises(DatasetInvalid, match="This is a web page without a table") as caught:
        Dataset.read(CASES / "23-fake-xls" / "error-page.csv")

    assert len(caught.value.problems) == 1


def test_cells_of_a_page_read_as_a_browser_shows_them(tmp_path: Path) -> None:
    """Breaks and paragraphs are line breaks, blanks run together, scripts and comments are no text."""
    rows = "<tr><th>text<th>label<tr><td>a<br>b\n  c&nbsp;d<script>x()</script><!-- no --><td><p>one</p><p>two</p>"

    dataset = Dataset.read(write(tmp_path, f"<table>{rows}</table>"))

    assert dataset.examples == (TuningExample("a\nb c d", "one\ntwo"),)


def test_a_page_names_its_encoding(tmp_path: Path) -> None:
    """The encoding in the page counts; nothing is guessed."""
    page = '<meta charset="windows-1251"><table><tr><td>text<td>label<tr><td>Посылка<td>да</table>'

    shown = preview(write(tmp_path, page.encode("cp1251")))

    assert (shown.first_example, shown.encoding_is_guessed) == (TuningExample("Посылка", "да"), False)


@pytest.mark.parametrize("packing", ["quoted-printable", "base64", "8bit"])
def test_a_page_in_a_single_file_is_unpacked(tmp_path: Path, packing: str) -> None:
    """However the page is packed, its text is that of the page."""
    page = "<table><tr><td>text<td>label<tr><td>Größe 5<td>klein</table>".encode()
    packed = {"quoted-printable": quopri.encodestring(page), "base64": base64.encodebytes(page), "8bit": page}[packing]
    head = f'MIME-Version: 1.0\nContent-Type: text/html; charset="utf-8"\nContent-Transfer-Encoding: {packing}\n\n'

    assert Dataset.read(write(tmp_path, head.encode() + packed)).examples == (TuningExample("Größe 5", "klein"),)


def test_merged_cells_of_a_page_keep_their_place(tmp_path: Path) -> None:
    """A cell over two rows leaves the second one empty, which is said."""
    page = "<table><tr><td>text<td>label<tr><td>a<td rowspan=2>b<tr><td>c<tr><td>d<td>e</table>"

    shown = preview(write(tmp_path, page))

    assert [row.cells for row in shown.sample] == [("a", "b"), ("c", None), ("d", "e")]
    assert "merged-cells" in [problem.kind for problem in shown.problems]


def test_a_layout_around_the_table_does_not_count(tmp_path: Path) -> None:
    """A table inside a table that lays out the page is the only one."""
    inner = "<table><tr><td>text<td>label<tr><td>a<td>b</table>"

    assert len(Dataset.read(write(tmp_path, f"<table><tr><td>menu<td>{inner}</table>"))) == 1


def test_several_tables_are_not_chosen_among(tmp_path: Path) -> None:
    """Two tables of examples are refused with their number."""
    table = "<table><tr><td>a<td>b<tr><td>c<td>d</table>"

    with pytest.raises(DatasetInvalid, match="a web page with 2 tables"):
        Dataset.read(write(tmp_path, f"<html>{table}{table}</html>"))


WORKBOOK = """<?xml version="1.0"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:x="urn:schemas-microsoft-com:office:excel">
<Styles><Style ss:ID="p"><NumberFormat ss:Format="Percent"/></Style></Styles>
<Worksheet ss:Name="Notes"><Table/></Worksheet>
<Worksheet ss:Name="Data"><Table>
<Row ss:Index="2"><Cell><Data ss:Type="String">text</Data></Cell><Cell><Data ss:Type="String">label</Data></Cell></Row>
<Row><Cell><Data ss:Type="String">a</Data><Comment><Data>no text</Data></Comment></Cell>
<Cell ss:StyleID="p"><Data ss:Type="Number">0.25</Data></Cell></Row>
<Row ss:Hidden="1"><Cell><Data ss:Type="String">b</Data></Cell><Cell><Data ss:Type="Number">7</Data></Cell></Row>
<Row><Cell ss:Index="2"><Data ss:Type="DateTime">2024-02-16T00:00:00.000</Data></Cell></Row>
</Table></Worksheet></Workbook>"""


def test_an_xml_spreadsheet_is_read_by_its_numbers(tmp_path: Path) -> None:
    """Rows and cells may skip numbers; comments are no text; formats and hidden rows are named."""
    path = write(tmp_path, WORKBOOK)

    shown = preview(path)

    assert [(row.number, row.cells) for row in shown.sample] == [(3, ("a", "0.25")), (5, (None, "2024-02-16"))]
    assert (shown.sheet, shown.sheets) == ("Data", (Sheet("Notes"), Sheet("Data")))
    assert {"number-as-text", "hidden-rows"} <= {problem.kind for problem in shown.problems}
    assert len(preview(path, hidden_rows=True).sample) == 3


def test_the_sheet_of_an_xml_spreadsheet_is_chosen_as_in_workbooks(tmp_path: Path) -> None:
    """The first with an input and an output is read, and a warning names the sheet before it."""
    note = '<Table><Row><Cell><Data ss:Type="String">About this file</Data></Cell></Row></Table>'

    shown = preview(write(tmp_path, WORKBOOK.replace("<Table/>", note)))

    assert shown.sheet == "Data"
    assert "Only sheet 'Data' was read; skipped: 'Notes'." in [str(problem) for problem in shown.problems]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<?xml version="1.0"?><data><row/></data>', "an XML file"),
        ('<?xml version="1.0"?><Workbook', "This XML file is damaged"),
        ('<?xml version="1.0"?><a xmlns="http://www.w3.org/1999/xhtml"/>', "an XML file"),
        ('<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "a web page"),
        ("┌──────┬───────┐\n│ text │ label │\n", "a table drawn with lines"),
        ("- text: a\n  label: b\n- text: c\n  label: d\n", "YAML"),
        ("\\begin{tabular}{ll}\na & b\\\\\n", "LaTeX"),
        ("INSERT INTO tickets VALUES ('a', 'b');\n", "SQL"),
        ("-- dump\nCREATE TABLE tickets (a TEXT);\n", "SQL"),
        ("@relation tickets\n@attribute text string\n", "ARFF"),
        ('ID;PWXL;N;E\nC;Y1;X1;K"text"\n', "SYLK"),
        ("TABLE\n0,1\n", "DIF"),
    ],
)
def test_other_text_is_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    """The format is named, with what to do."""
    with pytest.raises(DatasetInvalid, match=words) as caught:
        Dataset.read(write(tmp_path, text))

    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "text", ["<b>hi</b>,label\n<i>ho</i>,x\n", "create a table,request\nlate,other\n", "-- hi,a\n- no,b\n"]
)
def test_texts_that_only_look_like_it_are_rows(tmp_path: Path, text: str) -> None:
    """A tag, a dash or a word of SQL at the beginning of a text does not make it another format."""
    assert preview(write(tmp_path, text, "file.csv")).format == "csv"


@pytest.mark.parametrize(
    "text",
    [
        "| text | label |\n|---|---|\n| My parcel | delivery |\n| a \\| b | c |\n",
        "text | label\n:--- | ---:\nMy parcel | delivery\na \\| b | c\n",
        "+------+-----+\n| text | label |\n+------+-----+\n| My parcel | delivery |\n| a \\| b | c |\n+------+-----+\n",
        " text | label \n------+------\n My parcel | delivery\n a \\| b | c\n",
    ],
)
def test_drawn_tables_are_read_without_their_lines(tmp_path: Path, text: str) -> None:
    """Markdown and the tables that MySQL and psql print: no line is a row, no blank or bar is part of a cell."""
    dataset = Dataset.read(write(tmp_path, text, "table.md"))

    assert dataset.examples == (TuningExample("My parcel", "delivery"), TuningExample("a | b", "c"))


def test_text_around_a_drawn_table_is_named(tmp_path: Path) -> None:
    """A heading and a sentence below are skipped with a warning; a row with too many cells is an error."""
    text = "# Tickets\n\n| text | label |\n|---|---|\n| a | b |\n| c | d | e |\n\nThe end.\n"

    shown = preview(write(tmp_path, text, "table.md"))

    messages = [str(problem) for problem in shown.problems]
    assert "2 lines outside the table were skipped (first: line 1)." in messages
    assert "Row 6: more than 2 cells. Write \\| for a bar inside a text." in messages
    assert (shown.example_count, shown.row_count) == (1, 2)


def test_texts_cut_into_lines_are_not_rows(tmp_path: Path) -> None:
    """A client that continues long texts in the next line writes no table that can be read back."""
    rows = [("x" * 30, "a    "), ("y    " + " " * 25, "     "), ("z" * 30, "b    "), ("w    " + " " * 25, "     ")]
    text = f"| {'text':<30} | label |\n|{'-' * 32}|-------|\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)

    with pytest.raises(DatasetInvalid, match="Row 4: this table wraps long texts at the column width"):
        Dataset.read(write(tmp_path, text, "table.md"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<table><tr><td>a<td>b<tr><td>" + "<div>" * 1_000 + "x<td>y</table>", "nested too deeply"),
        ("<table>" + "<tr><td colspan=200 rowspan=900>a<td>b" * 30 + "</table>", "limit 256|more than 400,000 cells"),
        ("<table>" + "<tr><td>a<td>b" * 100_001 + "</table>", "more than 100,000 rows"),
        (
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" + "--b\n\n" * 2_000,
            "more than 1,000 parts",
        ),
        ('<?xml version="1.0"?><Workbook>' + "<a>" * 100_000, "damaged"),
    ],
    ids=["depth", "spans", "rows", "parts", "xml"],
)
def test_what_would_take_too_much_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Nothing of such a page is read in part."""
    with pytest.raises(DatasetInvalid, match=words):
        Dataset.read(write(tmp_path, text))


def test_a_page_names_a_small_encoding_and_means_a_large_one(tmp_path: Path) -> None:
    """ISO 8859-1 in a page stands for Windows-1252, as in browsers."""
    page = '<meta charset="iso-8859-1"><table><tr><td>text<td>label<tr><td>it’s late<td>yes</table>'

    assert Dataset.read(write(tmp_path, page.encode("cp1252"))).examples[0].text_input == "it’s late"
