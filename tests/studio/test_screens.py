"""Every screen and dialog: no violation of WCAG 2.2 AA in either theme, nothing wider than a narrow window."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from tests.studio import chromium
from tests.studio.accessibility import NARROW, faults, sideways
from tests.studio.hosts import Host
from tests.studio.test_importing import seven_bad_rows
from tests.studio.visitor import Visitor, arrive

NEW_USER = {
    "library": "/",
    "new": "/new",
    "playground": "/playground",
    "prompts": "/prompts",
    "activity": "/activity",
    "bases": "/bases",
    "help": "/help",
    "no such page": "/nowhere",
    "no such model": "/models/nothing",
}


BEYOND = """() => {
  const table = document.querySelector("table.models");
  return table.scrollWidth - table.parentElement.clientWidth;
}"""


@dataclass(frozen=True)
class Furnished:
    """A user with something to see, and the ids of the tuned models."""

    visitor: Visitor
    ready: str
    failed: str

    def close_dialogs(self) -> None:
        self.visitor.page.keyboard.press("Escape")


@pytest.fixture(scope="module")
def furnished(browser: Browser, host: Host, make_model: Callable[[Visitor], str]) -> Iterator[Furnished]:
    """Return a user who has a ready and a failed model and a structured prompt."""
    visitor = arrive(browser, host, host.new_user("dora"))
    failed = visitor.create("Too fast", learning_rate=1e30)
    yield Furnished(visitor, make_model(visitor), failed)
    visitor.context.close()


@pytest.fixture(scope="module")
def newcomer(browser: Browser, host: Host) -> Iterator[Visitor]:
    """Return a user who has nothing yet."""
    visitor = arrive(browser, host, host.new_user("newcomer"))
    visitor.watch.allow("404")  # what does not exist is asked for on purpose
    yield visitor
    visitor.context.close()


def check(visitor: Visitor, request: pytest.FixtureRequest) -> None:
    """Fail with all that is wrong with what is shown; a picture is kept then."""
    found = [*faults(visitor.page), *visitor.watch.complaints]
    if found:
        chromium.keep_evidence(visitor.context, request.node.name)
        visitor.context.tracing.start(snapshots=True)
    assert found == []


@pytest.mark.parametrize("path", NEW_USER.values(), ids=NEW_USER.keys())
def test_before_there_is_anything(newcomer: Visitor, path: str, request: pytest.FixtureRequest) -> None:
    """Screens of a new user."""
    newcomer.goto(path)

    check(newcomer, request)


def test_of_a_stranger(browser: Browser, host: Host, request: pytest.FixtureRequest) -> None:
    """The library and the dialog of somebody who has not signed in."""
    visitor = arrive(browser, host)
    visitor.watch.allow("401", "403")
    visitor.goto("/")
    check(visitor, request)

    visitor.press("Sign in")
    expect(visitor.page.get_by_role("dialog")).to_be_visible()
    check(visitor, request)
    visitor.context.close()


@pytest.mark.parametrize(("path", "title"), [("/signin", "Sign in to tunery"), ("/setup?token=old", "Link not valid")])
def test_pages_before_the_studio(
    browser: Browser, host: Host, request: pytest.FixtureRequest, path: str, title: str
) -> None:
    """The server's own pages look like the Studio, in both themes."""
    visitor = arrive(browser, host)
    visitor.watch.allow("401")
    visitor.page.goto(f"{host.address}{path}")
    expect(visitor.heading).to_have_text(title)
    expect(visitor.page.get_by_role("main").get_by_text("tunery", exact=True)).to_be_visible()
    backgrounds = set()
    for theme in ("light", "dark"):
        visitor.page.emulate_media(color_scheme=theme)
        backgrounds.add(visitor.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2
    check(visitor, request)
    visitor.context.close()


def test_library_with_models(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """Ready and failed models in the table, and the menu of a row."""
    page = furnished.visitor.goto("/")
    expect(page.get_by_role("row", name="Too fast")).to_be_visible()
    check(furnished.visitor, request)

    furnished.visitor.press("Actions for Numbers")
    expect(page.get_by_role("menu")).to_be_visible()
    check(furnished.visitor, request)


def test_an_empty_box_in_the_dark(furnished: Furnished) -> None:
    """It looks like an empty field, and not as if it could not be checked."""
    page = furnished.visitor.goto("/")
    page.emulate_media(color_scheme="dark")
    box, field = page.get_by_role("checkbox", name="Select all rows"), page.get_by_role("searchbox")
    style = """element => {
      const { appearance, backgroundColor } = getComputedStyle(element);
      return [appearance, backgroundColor];
    }"""

    appearance, background = box.evaluate(style)
    assert (appearance, background) == ("none", field.evaluate(style)[1])
    box.check()
    assert box.evaluate(style)[1] != background


@pytest.mark.parametrize("tab", ["overview", "heldOut", "data", "api", "log"])
def test_tabs_of_a_model(furnished: Furnished, tab: str, request: pytest.FixtureRequest) -> None:
    """What a ready model shows: curve, held-out rows, rows as the model saw them, calls, log."""
    page = furnished.visitor.goto(f"/models/{furnished.ready}?tab={tab}")
    if tab == "overview":
        expect(page.locator(".chart svg").first).to_be_visible()
    if tab == "heldOut":
        run = page.get_by_role("button", name="Run both models on 2 rows")
        expect(run.or_(page.get_by_text("Exact matches"))).to_be_visible()
        if run.count():
            run.click()
        expect(page.get_by_text("Exact matches")).to_be_visible()

    check(furnished.visitor, request)


def test_chart_of_a_wider_window(furnished: Furnished) -> None:
    """A chart that is not drawn anew yet after the window became narrow does not widen the page."""
    page = furnished.visitor.goto(f"/models/{furnished.ready}")
    chart = page.locator(".chart .recharts-wrapper")
    chart.evaluate("chart => chart.style.minWidth = '900px'")

    assert chart.bounding_box()["width"] == 900
    assert sideways(page, NARROW) == []


def test_failed_model(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """What happened, what to do, and the way to tune again."""
    furnished.visitor.goto(f"/models/{furnished.failed}")

    check(furnished.visitor, request)


@pytest.mark.parametrize("dialog", ["Share", "Delete", "Model card"])
def test_dialogs_of_a_model(furnished: Furnished, dialog: str, request: pytest.FixtureRequest) -> None:
    """People with their roles; the question before a model is deleted; the card, drawn."""
    visitor = furnished.visitor
    page = visitor.goto(f"/models/{furnished.ready}")
    if dialog != "Share":
        visitor.choose("Actions for Numbers", dialog)
    else:
        visitor.press(dialog)
    expect(page.get_by_role("dialog").or_(page.get_by_role("alertdialog"))).to_be_visible()
    if dialog == "Model card":
        expect(page.get_by_role("dialog").get_by_role("columnheader", name="mean loss")).to_be_visible()
        expect(page.get_by_role("dialog").get_by_text("##")).to_have_count(0)

    check(visitor, request)


def test_evaluated_model(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """The verdict with its table and worst rows, and the dialog that exports a model."""
    visitor = furnished.visitor
    page = visitor.goto(f"/models/{furnished.ready}")
    panel = page.get_by_role("region", name="Did tuning help?")
    expect(panel.get_by_role("table")).to_be_visible(timeout=Visitor.TUNE_MS)
    if (worst := panel.get_by_text("Worst rows")).count():
        worst.click()
    check(visitor, request)

    visitor.press("Export")
    expect(page.get_by_role("dialog").get_by_label("Format", exact=True)).to_be_visible()
    check(visitor, request)


def test_question_before_a_model_is_handed_on(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """The dialog over the dialog: who shall own the model."""
    visitor = furnished.visitor
    heir = visitor.host.new_user("heir")
    page = visitor.goto(f"/models/{furnished.ready}")
    visitor.press("Share")
    page.get_by_role("dialog").get_by_label("Email address").fill(heir)
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("Transfer ownership").click()
    expect(page.get_by_role("dialog").get_by_label("New owner").get_by_role("option", name=heir)).to_be_attached()
    page.get_by_role("dialog").get_by_label("New owner").select_option(heir)
    check(visitor, request)
    page.get_by_role("button", name="Make owner").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()

    check(visitor, request)


def test_structured_prompt(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """The editor of a structured prompt, and the list that it stands in afterwards."""
    visitor = furnished.visitor
    page = visitor.goto("/prompts")
    visitor.press("New structured prompt")
    page.wait_for_url("**/prompts/*")
    expect(visitor.heading).to_be_visible()
    check(visitor, request)

    visitor.goto("/prompts")
    check(visitor, request)


def test_pasted_rows(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """The box to paste examples into, and the question before rows from a spreadsheet are added."""
    page = ann.goto("/new")
    ann.press("Type or paste examples")
    page.get_by_role("textbox", name=re.compile("One example per line")).fill("1\t2\n2\t3")
    check(ann, request)

    ann.press("Use 2 examples")
    ann.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        "navigator.clipboard.writeText([...Array(12).keys()].map((row) => `${row}\\t${row + 1}`).join('\\n'))"
    )
    page.get_by_role("grid", name="Examples").press("Control+V")
    expect(page.get_by_role("dialog")).to_be_visible()
    check(ann, request)


def test_running_model(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """Progress and curve of a job at work, and the question before it is cancelled."""
    visitor = furnished.visitor
    model = visitor.create("At work", rows=400, epochs=20, batch_size=1)
    try:
        page = visitor.goto(f"/models/{model}")
        expect(page.get_by_text("Epoch 1 of 20").first).to_be_visible()
        check(visitor, request)

        visitor.press("Cancel tuning")
        expect(page.get_by_role("alertdialog")).to_be_visible()
        check(visitor, request)
        visitor.goto("/activity")
        expect(page.get_by_text("At work").first).to_be_visible()
        check(visitor, request)
        visitor.goto("/")
        expect(page.get_by_role("row", name="At work").get_by_text("left")).to_be_visible()
        assert page.evaluate(BEYOND) <= 0, "the library at 1,280 px ends beyond its card"
    finally:
        visitor.delete(model)


def test_new_model_step_by_step(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """A file with problems; then the grid with a row under edit, settings, estimate and the request as code."""
    visitor = furnished.visitor
    page = visitor.goto("/new")
    visitor.import_file("bad.csv", seven_bad_rows())
    expect(page.get_by_role("heading", name="Problems")).to_be_visible()
    check(visitor, request)

    visitor.press("Skip 7 rows with errors")
    visitor.use_rows()
    grid = page.get_by_role("grid", name="Examples")
    grid.press("Enter")
    visitor.open_settings()
    page.get_by_label("Weights of the base").select_option("4 bits")
    visitor.press("Show as code")
    expect(page.get_by_text("on this machine")).to_be_visible()
    expect(page.get_by_text("weights in 4 bits")).to_be_visible()
    check(visitor, request)


def test_compared_answers(furnished: Furnished, request: pytest.FixtureRequest) -> None:
    """Two answers side by side with their differences marked."""
    visitor = furnished.visitor
    page = visitor.goto(f"/playground?model=tunedModels/{furnished.ready}&with=models/tiny")
    page.get_by_role("textbox", name="Prompt").fill("7")
    visitor.press("Run")
    expect(page.get_by_text("tokens in")).to_have_count(2)
    page.get_by_label("Word diff").check()

    check(visitor, request)
