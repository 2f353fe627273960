"""My Library and Activity: what is shown stays in the address, jobs are cancelled from lists, models are compared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.chaos.served import wait_until
from tests.studio.test_screens import BEYOND, check
from tests.studio.visitor import Visitor

WIDTHS = range(560, 1300, 60)
PROMPT = b'{"dataPrompt": {"columns": [{"columnId": "i", "displayName": "input:", "isInput": true},'
PROMPT += b' {"columnId": "o", "displayName": "output:"}], "rows": [{"columnBindings":'
PROMPT += b' {"i": {"value": "1"}, "o": {"value": "2"}}}]}}'


def test_the_list_is_as_it_was_left(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """
    Search, filter and order are in the address, so they are back after a model was opened; the usual order is marked.
    The score of an evaluation stands in the list, and no width of the window pushes the menus out of the card.
    """
    judged = ann.create("Numbers", rows=30, epochs=1, holdOut="5")
    other = ann.create("Arabic أرقام", epochs=1)
    wait_until(lambda: ann.operation(other).get("done"))
    wait_until(lambda: ann.call("GET", f"tunedModels/{judged}").get("score"))
    page = ann.goto("/")
    rows = page.get_by_role("row")
    expect(page.get_by_role("columnheader", name="Updated")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("row", name="Numbers").get_by_text(re.compile(r"^\d+ %$"))).to_be_visible()
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.get_by_text("Sorted by Score, descending.")).to_be_attached()
    expect(rows.nth(1)).to_contain_text("Numbers")
    page.get_by_role("button", name="Name", exact=True).click()
    expect(page.get_by_text("Sorted by Name, ascending.")).to_be_attached()
    expect(rows.nth(1)).to_contain_text("Arabic")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(BEYOND) <= 0, f"at {width} px the table is wider than its card"
    check(ann, request)

    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("searchbox").fill("numbers")
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="Numbers").click()
    expect(ann.heading).to_have_text("Numbers")
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("numbers")
    expect(rows).to_have_count(2)
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")

    page.get_by_role("searchbox").fill("")
    expect(rows).to_have_count(3)
    page.get_by_role("checkbox", name="Select all rows").check()
    page.get_by_role("link", name="Compare").click()
    table = page.get_by_role("table")
    expect(table.get_by_role("row", name="Examples (differs) 8 30")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Mean loss of each epoch"))).to_be_visible()
    check(ann, request)
    ann.press("Ask them in the playground")
    expect(page.get_by_label("Compare with", exact=True)).to_have_value(re.compile("tunedModels/"))

    ann.goto(f"/new?from={judged}")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Numbers 2")
    again = ann.tune()
    expect(page.get_by_role("link", name=judged, exact=True)).to_be_visible()
    assert ann.call("GET", f"tunedModels/{again}")["tunedAgainFrom"] == f"tunedModels/{judged}"
    ann.goto("/")
    expect(page.get_by_role("row", name="Numbers 2")).to_contain_text(f"Tuned from {judged}")


def test_jobs_are_cancelled_from_lists(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """A queued job says when it starts; jobs are cancelled in Activity, and several at once in My Library."""
    pace = ann.create("Pace", epochs=1)
    wait_until(lambda: ann.operation(pace).get("done"))
    models = [ann.create(f"Job {number}", rows=200, epochs=20, batch_size=1) for number in range(3)]
    try:
        page = ann.goto("/activity")
        expect(
            page.get_by_role("row", name="Job 2").get_by_text(re.compile("1 job ahead · starts in about"))
        ).to_be_visible()
        check(ann, request)
        page.get_by_role("button", name="Start next: “Job 2”").click()
        expect(page.get_by_role("row", name="Job 2").get_by_text("Next in line")).to_be_visible()
        expect(page.get_by_role("row", name="Job 1").get_by_text("1 job ahead")).to_be_visible()
        page.get_by_role("button", name="Cancel tuning “Job 2”").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Cancel tuning").click()
        expect(page.get_by_role("row", name="Job 2").get_by_text("Cancelled")).to_be_visible()

        ann.goto("/")
        for name in ("Job 0", "Job 1"):
            page.get_by_role("checkbox", name=f"Select {name}").check()
        ann.press("Cancel tuning")
        expect(page.get_by_role("alertdialog")).to_contain_text("Cancel tuning 2 tuning jobs?")
        page.get_by_role("alertdialog").get_by_role("button", name="Cancel tuning").click()
        for name in ("Job 0", "Job 1"):
            expect(page.get_by_role("row", name=name).get_by_text("Cancelled")).to_be_visible(timeout=ann.TUNE_MS)
    finally:
        for model in models:
            ann.delete(model)


def test_a_prompt_of_ai_studio_is_imported_from_the_empty_library(ann: Visitor) -> None:
    """The button opens the choice of files at once, and the prompt is shown."""
    page = ann.goto("/")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import from Google AI Studio").click()
    chooser.value.set_files({"name": "Numbers.json", "mimeType": "application/json", "buffer": PROMPT})

    expect(ann.heading).to_have_text("Numbers")
