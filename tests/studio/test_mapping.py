"""Files whose columns or rows are not as they should be: what is imported is what stands on the screen."""

from __future__ import annotations

import io
import json

import openpyxl
from playwright.sync_api import Locator, Page, Route, expect

from tests.studio.accessibility import NARROW, faults, sideways
from tests.studio.visitor import Visitor

TEAMS = ("Lieferung", "Rechnung", "Technik")
MESSAGES = [f"Meine Sendung {number} ist noch nicht angekommen, obwohl sie zugesagt war." for number in range(40)]


def messy_csv() -> bytes:
    """Tickets with a message each; rows 42 and 43 have errors, row 44 repeats row 4, and row 45 contradicts row 5."""
    rows = [f"T-{1001 + n};2026-05-{1 + n % 28};{text};{TEAMS[n % 3]}" for n, text in enumerate(MESSAGES)]
    rows += ["T-1041;2026-05-01;;Technik", "T-1042;2026-05-01;Zu viele;Zellen;hier"]
    rows += [f"T-1003;2026-05-03;{MESSAGES[2]};Technik", f"T-1004;2026-05-04;{MESSAGES[3]};Rechnung"]
    return "\n".join(["Ticket;Datum;Nachricht;Kategorie", *rows]).encode()


def workbook() -> bytes:
    """A sheet that explains, and one with the tickets."""
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    book.active.append(["About", "Tickets of May"])
    book.active.append(["Contact", "Anna"])
    sheet = book.create_sheet("Tickets")
    for row in [("Nachricht", "Kategorie"), *zip(MESSAGES, TEAMS * 14, strict=False)]:
        sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def example(page: Page) -> Locator:
    return page.get_by_role("region", name="One example, as the model will see it")


def import_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Import", exact=False).filter(has_text="example")


def open_preview(visitor: Visitor) -> Page:
    page = visitor.goto("/new")
    visitor.import_file("tickets.csv", messy_csv())
    expect(page.get_by_role("heading", name="Problems")).to_be_visible()
    return page


def test_columns_are_chosen_by_what_they_hold(ann: Visitor) -> None:
    """Ticket numbers and dates are ignored; an example is in sight while rows have errors, and on a narrow screen."""
    page = open_preview(ann)
    roles = {name: page.get_by_label(name, exact=True) for name in ("Ticket", "Datum", "Nachricht", "Kategorie")}

    assert [role.input_value() for role in roles.values()] == ["ignored", "ignored", "input", "output"]
    expect(page.get_by_text("Which column does the model read, and which does it write?")).to_be_visible()
    expect(example(page)).to_contain_text(MESSAGES[0])
    expect(import_button(page)).to_be_disabled()
    assert faults(page) == []
    page.set_viewport_size({"width": NARROW, "height": 800})
    assert sideways(page, NARROW) == []
    problem = page.get_by_role("table", name="Problems").get_by_text("5 cells, expected 4")
    assert problem.bounding_box()["width"] > 200  # a sentence, not a column of syllables
    page.set_viewport_size({"width": 1280, "height": 800})

    ann.press("Choose another file")
    ann.import_file("book.xlsx", workbook())
    expect(page.get_by_label("Sheet")).to_have_value("Tickets")
    expect(import_button(page)).to_have_text("Import 40 examples")


def test_nothing_is_imported_that_is_not_on_the_screen(ann: Visitor) -> None:
    """Without an input, and until the server has read a new choice, old example and problems are gone, as is Import."""
    page = ann.goto("/new")
    ann.import_file("rows.csv", ("text,label,note\n" + "".join(f"a {n},b{n % 2},c {n}\n" for n in range(24))).encode())
    expect(import_button(page)).to_be_enabled()

    page.get_by_label("text", exact=True).select_option("Ignored")
    expect(page.get_by_text("Choose one input column and one output column.").first).to_be_visible()
    expect(import_button(page)).to_be_disabled()
    expect(example(page).get_by_text("a 0")).to_have_count(0)
    expect(page.get_by_role("table", name="Problems")).to_have_count(0)

    held: list[Route] = []
    page.route("**/datasets:parse", lambda route: held.append(route))  # (a bound method has no attributes)
    page.get_by_label("note", exact=True).select_option("Input")
    expect(page.get_by_role("status").filter(has_text="Input: note. Output: label.")).to_be_attached()
    expect(example(page)).to_contain_text("Reading the file…")
    expect(import_button(page)).to_be_disabled()
    held.pop().continue_()
    page.unroute("**/datasets:parse")
    expect(example(page)).to_contain_text("c 0")
    ann.use_rows()
    expect(page.get_by_role("grid", name="Examples").get_by_text("c 0", exact=True)).to_be_visible()


def test_rows_are_shown_skipped_and_fixed(ann: Visitor) -> None:
    """A row beyond the sample stands beside the one it repeats; skipping is said and taken back; a fix is imported."""
    page = open_preview(ann)
    problems = page.get_by_role("table", name="Problems")
    problems.get_by_role("button", name="Show row 45").click()
    expect(problems.get_by_role("region", name="Row 5")).to_contain_text("Lieferung")
    expect(problems.get_by_role("region", name="Row 45")).to_contain_text("Rechnung")
    problems.get_by_role("button", name="Skip row 45").click()
    expect(page.get_by_text("Row 45 will be skipped.")).to_be_visible()

    problems.get_by_role("button", name="Show row 43").click()
    expect(problems.get_by_role("region", name="Row 43")).to_contain_text("T-1042;2026-05-01;Zu viele;Zellen;hier")
    ann.press("Fix row 43")
    page.get_by_role("textbox", name="Input of row 43").fill("Zu viele; Zellen")
    page.get_by_role("textbox", name="Output of row 43").fill("Technik")
    assert faults(page) == []
    ann.press("Save")
    expect(page.get_by_text("Row 45 will be skipped. Row 43 was fixed here.")).to_be_visible()
    ann.press("Skip 1 row with errors")
    expect(page.get_by_text("2 rows will be skipped: 42, 45. Row 43 was fixed here.")).to_be_visible()
    ann.press("Undo")
    expect(page.get_by_text("Row 45 will be skipped. Row 43 was fixed here.")).to_be_visible()
    ann.press("Skip 1 row with errors")

    expect(import_button(page)).to_have_text("Import 42 examples")
    ann.use_rows()
    ann.press("Find problems")
    grid = page.get_by_role("grid", name="Examples")
    expect(grid).to_have_attribute("aria-rowcount", "2")  # the copy of row 4 is left
    ann.press("Show all rows")
    grid.press("Control+End")
    expect(grid.get_by_role("row").nth(-2)).to_contain_text("Zu viele; Zellen")


def test_more_files_leave_the_grid_in_sight(ann: Visitor) -> None:
    """System messages are said, broken lines shown; the source of the model names both files."""
    page = ann.goto("/new")
    ann.import_file("rows.csv", ("text,label\n" + "".join(f"a {n},b{n % 2}\n" for n in range(24))).encode())
    ann.use_rows()
    ann.press("Import more")
    expect(page.get_by_role("grid", name="Examples")).to_be_visible()
    expect(page.get_by_role("heading", name="Import more examples")).to_be_focused()

    system = {"role": "system", "content": "Label it."}
    turns = [{"role": "user", "content": "c"}, {"role": "assistant", "content": "b0"}]
    good = json.dumps({"messages": [system, *turns]})
    ann.import_file("chat.jsonl", "\n".join([*[good.replace('"c"', f'"c{n}"') for n in range(4)], '{"mess']).encode())
    expect(page.get_by_text("4 rows have a system message, which goes before the input")).to_be_visible()
    page.get_by_role("button", name="Show row 5").click()
    expect(page.get_by_role("region", name="Row 5")).to_contain_text('{"mess')
    ann.press("Skip row 5")
    ann.use_rows()

    expect(page.get_by_text("28 examples").first).to_be_visible()
    ann.press("Show as code")
    page.get_by_role("tab", name="Python").click()
    expect(page.get_by_role("dialog")).to_contain_text("rows.csv, chat.jsonl")
    page.keyboard.press("Escape")
    ann.press("Choose another file")
    ann.press("Undo")
    expect(page.get_by_text("28 examples").first).to_be_visible()
