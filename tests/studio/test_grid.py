"""The examples grid with thousands of rows, by mouse, keyboard and clipboard."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.studio.visitor import Visitor

ROWS = 5_000
DIRECTION = "element => getComputedStyle(element).direction"


def numbers(count: int = ROWS) -> bytes:
    """A file of examples."""
    return ("text_input,output\n" + "".join(f"question {n},answer {n}\n" for n in range(count))).encode()


def grid_of(visitor: Visitor, content: bytes) -> Locator:
    """Import a file and return the grid, which has the focus."""
    visitor.goto("/new")
    visitor.import_file("rows.csv", content)
    visitor.use_rows()
    grid = visitor.page.get_by_role("grid", name="Examples")
    grid.focus()
    return grid


def test_five_thousand_rows(ann: Visitor) -> None:
    """Of 5,000 rows the last is reached, changed, deleted and brought back; only few are in the page at a time."""
    page = ann.page
    grid = grid_of(ann, numbers())
    expect(page.get_by_text("5,000 examples").first).to_be_visible()
    expect(grid).to_have_attribute("aria-rowcount", str(ROWS + 1))
    assert grid.get_by_role("row").count() < 200

    grid.press("Control+End")
    expect(grid.get_by_text("question 4999", exact=True)).to_be_visible()
    grid.press("Enter")
    page.get_by_role("textbox", name="Output of row 5000").fill("changed")
    page.keyboard.press("Control+Enter")
    expect(grid.get_by_text("changed", exact=True)).to_be_visible()

    grid.press("Control+A")
    expect(page.get_by_text("5,000 selected")).to_be_visible()
    ann.press("Delete")
    expect(page.get_by_text("5,000 rows deleted.")).to_be_visible()
    ann.press("Undo")
    expect(page.get_by_text("5,000 examples").first).to_be_visible()


def test_rows_from_a_spreadsheet(ann: Visitor) -> None:
    """Pasted rows, with quotes and a line break in a cell, are shown before they are added; Undo takes them out."""
    page = ann.page
    grid = grid_of(ann, numbers(20))
    ann.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate('navigator.clipboard.writeText(`pasted\\tone\\n"two\\nlines"\\t"a ""quote"""\\n`)')

    grid.press("Control+V")
    dialog = page.get_by_role("dialog", name="Add 2 rows?")
    expect(dialog).to_contain_text('a "quote"')
    dialog.get_by_role("button", name="Add 2 rows").click()

    expect(page.get_by_text("22 examples").first).to_be_visible()
    ann.press("Undo")
    expect(page.get_by_text("20 examples").first).to_be_visible()


def test_no_pasted_cell_is_dropped(ann: Visitor) -> None:
    """A row of three cells is added whole and named; rows of three columns lead to the choice of columns."""
    page = ann.page
    grid = grid_of(ann, numbers(20))
    ann.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('text\\tlabel\\na\\tb\\nfirst\\tsecond\\tthird\\nc\\td')")
    grid.press("Control+V")
    dialog = page.get_by_role("dialog", name="Add 3 rows?")
    expect(dialog).to_contain_text("“text” and “label” in the first line are column names.")
    expect(dialog).to_contain_text("Line 3 is not one input and one output")
    dialog.get_by_role("button", name="Add 3 rows").click()
    expect(grid.get_by_text("first\tsecond\tthird")).to_be_visible()

    page.evaluate("navigator.clipboard.writeText('1\\tMy parcel\\tdelivery\\n2\\tMy bill\\tbilling')")
    grid.press("Control+V")
    page.get_by_role("button", name="Choose columns").click()
    expect(page.get_by_text("My parcel").first).to_be_visible()
    expect(page.get_by_role("button", name="Import 2 examples")).to_be_visible()


def test_problems_and_duplicates(ann: Visitor) -> None:
    """Find problems shows the rows that have one; Remove duplicates leaves one of each."""
    page = ann.page
    grid = grid_of(ann, numbers(20) + b"question 3,answer 3\n")

    ann.press("Find problems")
    expect(grid).to_have_attribute("aria-rowcount", "2")
    ann.press("Show all rows")
    ann.press("Remove duplicates")

    expect(page.get_by_text("1 row deleted.")).to_be_visible()
    expect(page.get_by_text("20 examples").first).to_be_visible()


def test_rows_are_searched_and_filtered(ann: Visitor) -> None:
    """Words and a label leave some rows; only these are selected and deleted; rows that will be cut are shown alone."""
    page = ann.page
    long = "".join(f"{'long ' * 600}{n},billing\n" for n in range(2))  # of 2,048 tokens, which are bytes here
    rows = "".join(f"question {n},{'billing' if n % 2 else 'delivery'}\n" for n in range(40))
    grid = grid_of(ann, f"text_input,output\n{rows}{long}".encode())

    page.get_by_role("searchbox", name="Search the rows").fill("QUESTION 1")
    expect(grid).to_have_attribute("aria-rowcount", "12")
    page.get_by_label("Output", exact=True).select_option("delivery")
    expect(page.get_by_text("5 of 42 rows")).to_be_visible()
    grid.press("Control+A")
    ann.press("Delete")
    expect(page.get_by_text("5 rows deleted.")).to_be_visible()
    ann.press("Show all")
    expect(grid).to_have_attribute("aria-rowcount", "38")

    page.get_by_role("complementary", name="Estimate").get_by_role("button", name="Show them").click()
    expect(grid).to_be_focused()
    expect(grid).to_have_attribute("aria-rowcount", "3")
    expect(page.get_by_text("2 of 37 rows: too long for the model")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 1400})
    ann.press("Show all")
    assert grid.bounding_box()["height"] > 900  # of a high window


def test_rows_from_right_to_left(ann: Visitor) -> None:
    """Arabic runs from the right in the preview of a file, in the grid and while it is edited; other rows do not."""
    ann.goto("/new")
    ann.import_file("rows.csv", "text,label\nأين طلبي؟,تسليم\nWhere is it?,delivery\n".encode())
    first = ann.page.locator("dd").filter(has_text="أين طلبي؟")
    assert first.evaluate(DIRECTION) == "rtl"
    ann.use_rows()

    cells = ann.page.get_by_role("gridcell")
    sides = [cells.get_by_text(text).evaluate(DIRECTION) for text in ("أين طلبي؟", "تسليم", "Where is it?")]
    assert sides == ["rtl", "rtl", "ltr"]
    cells.get_by_text("أين طلبي؟").dblclick()
    assert ann.page.locator("textarea").first.evaluate(DIRECTION) == "rtl"


def test_columns_are_resized(ann: Visitor) -> None:
    """The border between input and output follows the pointer, and two keys."""
    page = ann.page
    grid = grid_of(ann, numbers(20))
    head = grid.get_by_role("columnheader", name="Output")
    before = head.bounding_box()
    grid.press("Shift+ArrowLeft")
    wide = head.bounding_box()
    assert wide["width"] > before["width"] + 20

    page.mouse.move(wide["x"], wide["y"] + 10)
    page.mouse.down()
    page.mouse.move(wide["x"] + 40, wide["y"] + 10, steps=4)
    page.mouse.up()
    assert abs(head.bounding_box()["x"] - wide["x"] - 40) < 8


def test_escape_restores_a_row(ann: Visitor) -> None:
    """What was typed into a row is dropped with Esc, and Tab leaves the grid."""
    page = ann.page
    grid = grid_of(ann, numbers(20))
    grid.press("F2")
    page.get_by_role("textbox", name="Input of row 1").fill("typed in vain")
    page.keyboard.press("Escape")
    expect(grid.get_by_text("question 0", exact=True)).to_be_visible()
    expect(grid).to_be_focused()

    page.keyboard.press("Tab")

    expect(grid).not_to_be_focused()
