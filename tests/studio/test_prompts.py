"""Drafts in other tabs, and structured prompts: their rows in the grid, and a run that shows the model the rows."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Request, expect

from tests.chaos.served import wait_until
from tests.studio.accessibility import NARROW, faults, sideways
from tests.studio.hosts import BASE
from tests.studio.visitor import Visitor

ROWS = "\n".join(f"question {number}\tanswer {number}" for number in range(30))


def test_drafts_are_offered_in_other_tabs(ann: Visitor) -> None:
    """
    A new tab continues the draft, and neither tab overwrites what the other has changed.

    Among the prompts drafts stand apart, and all of them go with one press.
    """
    ann.goto("/new")
    ann.import_file("rows.csv", ("text,label\n" + "".join(f"a {n},b{n % 2}\n" for n in range(24))).encode())
    ann.use_rows()
    expect(ann.page.get_by_text("Draft saved", exact=True)).to_be_visible()

    other = ann.context.new_page()
    other.goto(f"{ann.host.address}/studio/new")
    offer = other.get_by_role("region", name="Continue your draft")
    expect(offer).to_contain_text("24 rows, just now")
    assert faults(other) == []
    offer.get_by_role("button", name="Continue “rows”").click()
    expect(other.get_by_text("24 examples").first).to_be_visible()
    expect(other.get_by_role("textbox", name="Name", exact=True)).to_have_value("rows")
    expect(offer).to_have_count(0)
    other.get_by_role("textbox", name="Name", exact=True).fill("theirs")
    wait_until(lambda: ann.call("GET", "prompts")["prompts"][0]["displayName"] == "theirs")

    ann.watch.allow("status of 400 (Bad Request)")
    ann.name("mine")
    changed = ann.page.get_by_role("alert").filter(has_text="This was also changed in another tab")
    expect(changed).to_be_visible()
    assert [prompt["displayName"] for prompt in ann.call("GET", "prompts")["prompts"]] == ["theirs"]
    changed.get_by_role("button", name="Load that version").click()
    expect(ann.page.get_by_role("textbox", name="Name", exact=True)).to_have_value("theirs")
    expect(changed).to_have_count(0)
    other.close()

    page = ann.goto("/prompts")
    expect(page.get_by_text("No structured prompts yet.")).to_be_visible()
    page.get_by_text("Drafts of tuned models (1)").click()
    expect(page.get_by_role("link", name="theirs", exact=True)).to_be_visible()
    ann.press("Delete the draft")
    page.get_by_role("alertdialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("Drafts of tuned models")).to_have_count(0)
    assert ann.call("GET", "prompts").get("prompts", []) == []


def open_prompt(visitor: Visitor, **parts: Any) -> str:
    """Make a structured prompt without the form and open it; returns its id."""
    columns = [{"prefix": "input:", "isInput": True}, {"prefix": "output:"}]
    prompt = visitor.call("POST", "prompts", {"displayName": "Numbers", "columns": columns, "rows": [], **parts})
    name = str(prompt["name"]).removeprefix("prompts/")
    visitor.goto(f"/prompts/{name}")
    return name


def test_rows_of_a_prompt_are_edited_in_the_grid(ann: Visitor) -> None:
    """Pasted rows become rows, a workbook's columns cells; many are deleted at once, and Undo brings them back."""
    name = open_prompt(ann)
    page = ann.page
    grid = page.get_by_role("grid", name="Rows")
    ann.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("rows => navigator.clipboard.writeText(rows)", f"Input\tOutput\n{ROWS}")
    grid.press("Control+V")
    dialog = page.get_by_role("dialog", name="Add 30 rows?")
    expect(dialog).to_contain_text("The first line contains the column names")
    dialog.get_by_role("button", name="Add 30 rows").click()
    expect(grid).to_have_attribute("aria-rowcount", "31")

    grid.press("Control+A")
    ann.press("Delete")
    expect(page.get_by_text("30 rows deleted.")).to_be_visible()
    ann.press("Undo")
    expect(grid).to_have_attribute("aria-rowcount", "31")

    lines = "\n".join(f"T-{n},more {n},{n % 3}" for n in range(24))
    page.locator("input[type=file]").first.set_input_files(
        {"name": "more.csv", "mimeType": "text/csv", "buffer": f"id,text,label\n{lines}".encode()}
    )
    ann.use_rows()
    expect(grid).to_have_attribute("aria-rowcount", "55")
    grid.press("Control+End")
    expect(grid.get_by_text("more 23", exact=True)).to_be_visible()
    assert faults(page) == []
    page.set_viewport_size({"width": NARROW, "height": 800})
    assert sideways(page, NARROW) == []
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    rows = ann.call("GET", f"prompts/{name}")["rows"]
    assert (len(rows), rows[-1]["cells"]) == (54, ["more 23", "2"])


def sent(request: Request) -> str:
    return str(json.loads(request.post_data or "")["contents"][0]["parts"][0]["text"])


def test_a_run_shows_the_model_the_rows(ann: Visitor) -> None:
    """Preamble, rows and test row are sent, rows beyond the window are said; a switch leaves all rows out."""
    rows = [{"cells": [str(number), str(number + 1)]} for number in range(3)]
    rows += [{"cells": ["x" * 1_200, "y"]}, {"cells": ["z" * 900, "y"]}]  # of 2,048 tokens, which are bytes here
    name = open_prompt(ann, preamble="Count on.", rows=rows, testRows=[{"cells": ["7", ""]}])
    ann.watch.allow("400")  # the count of a prompt that is too long
    page = ann.page
    page.get_by_label("Model for test rows").select_option(f"models/{BASE}")
    with page.expect_request("**:streamGenerateContent*") as shown:
        ann.press("Run test row 1")
    prompt = (
        f"Count on.\ninput: 0\noutput: 1\ninput: 1\noutput: 2\ninput: 2\noutput: 3\ninput: {'x' * 1_200}\noutput: y"
    )
    assert sent(shown.value) == f"{prompt}\ninput: 7\noutput:"
    expect(
        page.get_by_text("1 example did not fit into the model's context window and was not sent: row 5.")
    ).to_be_visible()

    expect(page.get_by_role("button", name="Run test row 1")).to_be_enabled()
    page.get_by_role("checkbox", name="Show the model my examples").uncheck()
    with page.expect_request("**:streamGenerateContent*") as plain:
        ann.press("Run test row 1")
    assert sent(plain.value) == "Count on.\ninput: 7"
    ann.press("Show test row 1 as code")
    expect(page.get_by_role("dialog")).to_contain_text(r'{"contents":[{"parts":[{"text":"Count on.\ninput: 7"}]}]}')
    assert faults(page) == []
    assert name
