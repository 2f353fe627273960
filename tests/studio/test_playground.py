"""The playground: label bars and the threshold, several models, earlier runs, an answer that becomes an example."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.chaos.served import wait_until
from tests.studio.hosts import BASE
from tests.studio.test_screens import check
from tests.studio.visitor import Visitor

ARABIC = "مرحبا بالعالم"


def run(visitor: Visitor, prompt: str) -> None:
    visitor.page.get_by_role("textbox", name="Prompt").fill(prompt)
    visitor.press("Run")
    expect(visitor.page.get_by_role("button", name="Stop")).to_be_hidden()


def direction(element: Locator) -> str:
    return str(element.evaluate("element => getComputedStyle(element).direction"))


def test_a_model_of_labels(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """
    Its labels have bars without being asked for, and below the threshold it says "unsure"; the verdict shows which
    labels are confused. Runs are kept and can be used again, a corrected answer is tuned on when the model is tuned
    again, and Arabic runs from right to left.
    """
    rows = [{"textInput": str(number), "output": ("even", "odd")[number % 2]} for number in range(40)]
    model = ann.create("Parity", epochs=1, holdOut=20, trainingData={"examples": {"examples": rows}})
    wait_until(lambda: ann.call("GET", f"tunedModels/{model}").get("score"))
    page = ann.goto(f"/models/{model}")
    page.get_by_text("Which labels are confused").click()
    confused = page.get_by_role("table").filter(has_text="Rows: the expected label")
    expect(confused.get_by_role("columnheader")).to_have_text(["even", "odd", "other"])
    cells = page.get_by_role("table").filter(has_text="Epoch 1").get_by_role("row").nth(1).get_by_role("cell")
    assert len({round(cell.bounding_box()["y"]) for cell in cells.all()}) == 1, "the cells of a row stand side by side"
    expect(page.get_by_text("Base and tuned model chose among the labels.")).to_be_visible()
    page.get_by_text("How far probabilities can be trusted").click()
    picture = page.get_by_role("group", name="Probability and share of right answers")
    expect(picture.get_by_role("img").first).to_have_attribute("aria-label", re.compile(r"^\d+ rows?: probability"))
    check(ann, request)
    page.get_by_role("link", name="Try 95 % in the playground").click()
    expect(page.get_by_label("Answer “unsure” below (%)", exact=True)).to_have_value("95")
    decide_among_labels(ann, request)

    page = ann.goto(f"/models/{model}?tab=heldOut")  # the evaluation has asked all of them
    expect(page.get_by_text(re.compile(r"Exact matches: tuned model \d+ of 20, base model \d+ of 20"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Run both models"))).to_have_count(0)

    page = ann.goto(f"/playground?model=tunedModels/{model}")
    expect(page.get_by_label("Only allow answers like those in the examples")).to_be_checked()

    run(ann, "7")
    expect(page.get_by_text(re.compile(r"^\d+ tokens with the chat template$"))).to_be_visible()
    answer = page.get_by_role("region", name="Answer of Parity")
    expect(answer.get_by_label("Probability of each label").get_by_role("term")).to_have_count(2)
    page.get_by_label("Answer “unsure” below (%)").fill("100")
    page.get_by_label("Answer “unsure” below (%)").blur()
    run(ann, ARABIC)
    expect(answer.locator(".answer")).to_have_text("unsure")
    assert direction(page.get_by_role("textbox", name="Prompt")) == "rtl"
    ann.press("Show as code")
    expect(page.get_by_role("dialog").locator("pre").first).to_contain_text('"noneBelow":1,"noneLabel":"unsure"')
    page.keyboard.press("Escape")

    history = page.get_by_role("region", name="History")
    expect(history.get_by_role("listitem")).to_have_count(2)
    assert direction(history.get_by_text(ARABIC)) == "rtl"
    check(ann, request)
    page.reload()
    history.get_by_role("button", name="Use again: 7").click()
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("7")

    run(ann, "7")
    answer.get_by_role("button", name="Add as example").click()
    dialog = page.get_by_role("dialog", name="Add as example")
    dialog.get_by_label("Output").fill("prime")
    check(ann, request)
    dialog.get_by_role("button", name="Add to this model's data").click()
    page.get_by_role("region", name="Messages").get_by_role("button", name="Tune again").click()
    expect(page.get_by_text("41 examples").first).to_be_visible()
    page.get_by_role("grid", name="Examples").press("Control+End")
    expect(page.get_by_role("grid", name="Examples").get_by_text("prime", exact=True)).to_be_attached()


def decide_among_labels(visitor: Visitor, request: pytest.FixtureRequest) -> None:
    """The tab shows the probability of each label, and of any options for a base; below a threshold it is none."""
    page = visitor.page
    page.get_by_role("tab", name="Decide").click()
    page.get_by_label("Text to decide about").fill("7")
    expect(page.get_by_label("Options")).to_have_value(re.compile("^(even\nodd|odd\neven)$"))
    decision = page.get_by_role("region", name="Decision")
    visitor.press("Decide")
    expect(decision.get_by_role("term")).to_have_count(2)
    expect(decision.locator(".answer")).to_have_text("none of these")  # below 95 %, as chosen on the model's page
    page.get_by_label("“none of these” below (%)", exact=True).fill("0")
    page.get_by_label("“none of these” below (%)", exact=True).blur()
    expect(decision.locator(".answer")).to_have_text(re.compile("^(even|odd)$"))
    visitor.press("Show as code")
    expect(page.get_by_role("dialog").locator("pre").first).to_contain_text("/v1/systemone")
    page.keyboard.press("Escape")
    check(visitor, request)

    page.get_by_label("Model", exact=True).select_option(f"models/{BASE}")
    page.get_by_label("Kind of question").select_option("noul")
    page.get_by_label("Question", exact=True).fill("Is it urgent?")
    visitor.press("Decide")
    expect(decision.get_by_role("term")).to_have_text(["Yes", "No"])
    page.get_by_label("Kind of question").select_option("score")
    page.get_by_label("Levels").fill("low")
    visitor.watch.allow("422")
    visitor.press("Decide")
    expect(page.get_by_role("alert")).to_contain_text("2 to 10 levels")


def test_a_long_list_of_models_is_searched(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """With thirty tuned models some letters are enough, by keyboard too; models and bases stand apart."""
    ann.create("Numbers", epochs=1)
    page = ann.goto("/")
    expect(page.get_by_role("link", name="Numbers")).to_be_visible()

    def more(route: Route) -> None:
        reply = route.fetch()
        [one] = reply.json()["tunedModels"]
        copies = [
            {**one, "name": f"tunedModels/c{n}", "displayName": f"Copy {n}", "state": "ACTIVE"} for n in range(30)
        ]
        route.fulfill(response=reply, json={"tunedModels": copies})

    page.route("**/v1beta/tunedModels?*", more)
    page.get_by_role("link", name="New tuned model").first.click()
    expect(page.get_by_role("button", name="Show all: Base model")).to_be_visible()
    field = page.get_by_role("combobox", name="Base model")
    field.click()
    field.press_sequentially("opy 2")
    expect(field).to_have_value("opy 2")
    options = page.get_by_role("listbox").get_by_role("option")
    expect(options).to_have_count(11)
    expect(page.get_by_role("listbox").get_by_role("group", name="Your tuned models")).to_be_visible()
    field.press("Escape")
    check(ann, request)
    field.click()
    field.fill("opy 27")
    field.press("ArrowDown")
    field.press("Enter")
    expect(field).to_have_value("Copy 27")
    field.fill("no such model")
    expect(page.get_by_role("listbox")).to_contain_text("Nothing found.")
    field.press("Escape")
    expect(field).to_have_value("Copy 27")


def test_more_than_two_models(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """A tuned model, one of its epochs and the base answer the same prompt in three columns; a lost server is named."""
    model = ann.create("Three", epochs=2)
    ann.goto(f"/models/{model}")
    ann.wait_until_ready()
    page = ann.goto(f"/playground?model=tunedModels/{model}")
    page.get_by_label("Compare with", exact=True).select_option(f"models/{BASE}")
    page.get_by_label("Compare with model 3").select_option(f"tunedModels/{model}")
    page.get_by_label("Epoch of “Compare with model 3”").select_option("Epoch 1")
    page.get_by_label("Max output tokens").fill("8")
    page.get_by_label("Max output tokens").blur()
    run(ann, "7")

    for name in ("Three", "base", "Three, epoch 1"):
        expect(page.get_by_role("region", name=f"Answer of {name}", exact=True)).to_contain_text("tokens in")
    check(ann, request)

    ann.watch.allow("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
    with ann.host.gone():
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # asks who is signed in
        expect(page.get_by_text("Can't reach the server")).to_have_text("Can't reach the server. Reconnecting…")
    expect(page.get_by_text("Can't reach the server")).to_be_hidden()
