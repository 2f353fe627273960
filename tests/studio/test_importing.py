"""Files as people have them: odd tables, workbooks, broken lines, files of AI Studio; all is checked first."""

from __future__ import annotations

import io
import json
import re

import openpyxl
from playwright.sync_api import Page, expect

from tests.studio.visitor import Visitor

ROWS = [(f"Größe {number}", f"Maß {number}") for number in range(1, 25)]
LONG = "x" * 5_001  # an output may have 5,000 characters


def odd_csv() -> bytes:
    """Headers that say nothing, semicolons, Latin-1."""
    lines = ["Nr;Frage an uns;Was wir sagen", *(f"{n};{asked};{said}" for n, (asked, said) in enumerate(ROWS))]
    return "\r\n".join(lines).encode("latin-1")


def marked_csv() -> bytes:
    """A byte order mark before the first header."""
    lines = ["question;answer", *(f"{asked};{said}" for asked, said in ROWS)]
    return "\n".join(lines).encode("utf-8-sig")


def workbook() -> bytes:
    """Two sheets, the examples on the second."""
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["Nothing", "here"])
    sheet = book.create_sheet("Examples")
    for row in [("input", "output"), *ROWS]:
        sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def broken_lines() -> bytes:
    """Two lines of JSONL that end too early."""
    lines = [json.dumps({"text_input": asked, "output": said}) for asked, said in ROWS]
    lines[4], lines[9] = lines[4][:-3], '{"text_input": '
    return "\n".join(lines).encode()


def seven_bad_rows() -> bytes:
    """Rows 3, 5, 8, 11, 14, 17 and 20 of the file cannot be learned."""
    rows = [["text_input", "output"], *([asked, said] for asked, said in ROWS)]
    for number in (3, 8, 14, 20):
        rows[number - 1][1] = ""
    for number in (5, 11):
        rows[number - 1][0] = " "
    rows[16][1] = LONG
    return "\n".join(",".join(row) for row in rows).encode()


def ai_studio_file() -> bytes:
    """A structured prompt as it lies in Google Drive."""
    columns = [{"columnId": "a", "displayName": "input:", "isInput": True}, {"columnId": "b", "displayName": "output:"}]
    rows = [{"rowId": f"r{n}", "columnBindings": {"a": asked, "b": said}} for n, (asked, said) in enumerate(ROWS)]
    prompt = {"dataPrompt": {"preamble": "Measure it.", "columns": columns, "rows": rows}, "testExamples": []}
    return json.dumps(prompt).encode()


def rows_with_errors(page: Page) -> set[int]:
    """Return the numbers of the rows that the table of problems names."""
    table = page.get_by_role("region", name="Problems").get_by_role("table")
    expect(table).to_be_visible()
    errors = table.locator("tbody").filter(has_text="Error").get_by_role("row")
    numbers = (re.match(r"\d+", row.inner_text()) for row in errors.all())
    return {int(number[0]) for number in numbers if number}


def test_a_table_with_odd_headers(ann: Visitor) -> None:
    """Journey 2: with semicolons, Latin-1 and headers of its own, the columns are chosen, the umlauts are right."""
    page = ann.goto("/new")
    ann.import_file("fragen.csv", odd_csv())
    for column, use in (("Was wir sagen", "Output"), ("Frage an uns", "Input"), ("Nr", "Ignored")):
        page.get_by_label(column, exact=True).select_option(use)
    expect(page.get_by_label("Nr", exact=True)).to_have_value("ignored")
    ann.use_rows()

    expect(page.get_by_text("24 examples").first).to_be_visible()
    grid = page.get_by_role("grid", name="Examples")
    expect(grid.get_by_text("Größe 1", exact=True)).to_be_visible()
    expect(grid.get_by_text("Maß 1", exact=True)).to_be_visible()


def test_a_table_with_a_byte_order_mark(ann: Visitor) -> None:
    """Journey 2: the mark does not become part of the first header, and the columns are found by their names."""
    page = ann.goto("/new")
    ann.import_file("marked.csv", marked_csv())

    expect(page.get_by_label("question", exact=True)).to_have_value("input")
    expect(page.get_by_label("answer", exact=True)).to_have_value("output")
    ann.use_rows()
    expect(page.get_by_text("24 examples").first).to_be_visible()


def test_a_workbook_with_two_sheets(ann: Visitor) -> None:
    """Journey 2: the sheet with the examples can be chosen."""
    page = ann.goto("/new")
    ann.import_file("book.xlsx", workbook())
    page.get_by_label("Sheet").select_option("Examples")
    expect(page.get_by_text("24 rows")).to_be_visible()
    ann.use_rows()

    expect(page.get_by_text("24 examples").first).to_be_visible()


def test_lines_that_are_broken(ann: Visitor) -> None:
    """Journey 2: both broken lines are named; without them the other 22 are imported."""
    page = ann.goto("/new")
    ann.import_file("lines.jsonl", broken_lines())
    assert rows_with_errors(page) == {5, 10}

    ann.press("Skip 2 rows with errors")
    ann.use_rows()
    expect(page.get_by_text("22 examples").first).to_be_visible()


def test_a_file_of_ai_studio(ann: Visitor) -> None:
    """Journey 2: rows of a structured prompt become examples with its preamble and prefixes."""
    page = ann.goto("/new")
    ann.import_file("Number maker", ai_studio_file())
    expect(page.get_by_text("Measure it.").first).to_be_visible()
    ann.use_rows()

    expect(page.get_by_text("24 examples").first).to_be_visible()
    expect(page.get_by_role("grid", name="Examples")).to_contain_text("Größe 1")


def test_seven_bad_rows(ann: Visitor) -> None:
    """Journey 3: all seven are listed with their row numbers before anything starts; without them it tunes."""
    page = ann.goto("/new")
    ann.import_file("bad.csv", seven_bad_rows())
    assert rows_with_errors(page) == {3, 5, 8, 11, 14, 17, 20}

    ann.press("Skip 7 rows with errors")
    ann.use_rows()
    expect(page.get_by_text("17 examples").first).to_be_visible()
    ann.name("Without the bad rows")
    model = ann.tune()
    assert ann.call("GET", f"tunedModels/{model}?extensions=true")["tuningTask"]["data"]["rows"] == 17
