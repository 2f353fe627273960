"""What a server finds out about a tuned model: the verdict by itself, suspicious rows and the data curve on request."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, expect

from tests.studio.test_screens import check
from tests.studio.visitor import Visitor


def test_doubtful_rows_are_found_and_mended(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """A duplicate is found and left out when the model is tuned again; a contradiction stays, for the user to judge."""
    rows = [(f"question {number}", f"answer {number}") for number in range(8)]
    rows += [rows[0], ("question 1", "another answer")]
    examples = {"examples": [{"textInput": text_input, "output": output} for text_input, output in rows]}
    model = ann.create("Doubtful", trainingData={"examples": examples})
    page = ann.goto(f"/models/{model}?tab=data")
    panel = page.get_by_role("region", name="Rows to check")
    panel.get_by_role("button", name="Check rows").click(timeout=Visitor.TUNE_MS)
    expect(panel.get_by_text(re.compile("In 10 rows: .*1 duplicate"))).to_be_visible(timeout=Visitor.TUNE_MS)
    expect(panel.get_by_role("row", name=re.compile("^9 .*question 0"))).to_contain_text("Will be removed")
    check(ann, request)

    with page.expect_request(re.compile(":examine$")) as asked:
        panel.get_by_role("button", name="Find wrong labels (slow)").click()
    assert asked.value.post_data_json == {"foldCount": 5}
    expect(panel.get_by_role("status")).to_contain_text("Checking")
    expect(panel.get_by_role("status")).to_be_hidden(timeout=Visitor.TUNE_MS)
    expect(panel.get_by_text(re.compile("In 10 rows: .*1 duplicate"))).to_be_visible()

    ann.press("Tune again without this row")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Doubtful 2")
    expect(page.get_by_text("9 examples").first).to_be_visible()


def test_what_more_rows_would_bring(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """The data curve says what it measured, and what twice the rows promise."""
    model = ann.create("Curve", rows=40, epochs=1)
    page = ann.goto(f"/models/{model}?tab=data")
    panel = page.get_by_role("region", name="Would more examples help?")
    panel.get_by_role("button", name="Find out").click(timeout=Visitor.TUNE_MS)
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_role("status")).to_be_hidden()
    panel.get_by_role("button", name="Find out").click()

    expect(panel.get_by_role("table")).to_be_visible(timeout=Visitor.TUNE_MS)
    expect(panel.get_by_text(re.compile("more rows: about"))).to_have_count(3)
    check(ann, request)


def test_a_new_model_is_evaluated_by_itself(ann: Visitor) -> None:
    """With held-out rows the verdict comes without a click."""
    model = ann.create("Judged", rows=30, holdOut="5")
    page = ann.goto(f"/models/{model}")

    panel = page.get_by_role("region", name="Did tuning help?")
    expect(panel.get_by_text("Too few rows to tell")).to_be_visible(timeout=Visitor.TUNE_MS)
    panel.get_by_role("link", name="Tune on all 30 rows").click()
    expect(page.get_by_text("30 examples").first).to_be_visible()
    expect(page.get_by_role("checkbox", name="Find out whether tuning helps")).not_to_be_checked()


def test_rows_of_a_file_beside_an_old_model(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """Without held-out rows a file is asked about; what rescue recorded of an old model is one more way to answer."""
    model = ann.create("Successor")
    page = ann.goto(f"/models/{model}")
    panel = page.get_by_role("region", name="Did tuning help?")
    expect(panel.get_by_text("choose a file with rows")).to_be_visible(timeout=Visitor.TUNE_MS)
    expect(panel.get_by_role("button", name="Find out")).to_be_visible()

    choose(panel, "broken.csv", "text_input,output\n,2\n")
    expect(panel.get_by_role("alert")).to_contain_text("broken.csv, row 2, column text_input: empty")

    rows = [
        {"text_input": str(n), "output": str(n + 1), "answer": str(n + 1), "model": "old-one"} for n in range(50, 62)
    ]
    choose(panel, "answers.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    expect(panel.get_by_role("table")).to_be_visible(timeout=Visitor.TUNE_MS)
    expect(panel.get_by_text("12 rows (answers.jsonl)")).to_be_visible()
    expect(panel.get_by_role("row", name=re.compile("old-one"))).to_contain_text("100")
    expect(panel.get_by_role("alert")).to_be_hidden()
    check(ann, request)


def choose(panel: Locator, name: str, content: str) -> None:
    with panel.page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name="Evaluate on a file").click()
    chooser.value.set_files({"name": name, "mimeType": "text/plain", "buffer": content.encode()})
