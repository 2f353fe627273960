"""From an empty library to the answer of a tuned model: the trip of a new user."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import Visit
from tests.studio.hosts import Host
from tests.studio.test_screens import check
from tests.studio.visitor import Visitor, sign_in


def test_the_printed_link_opens_the_studio_signed_in(visit: Visit, host: Host) -> None:
    """The link of `tunery serve` leads to My Library, with nobody asked for a password."""
    with host.gone():  # the link of the start before has ended if somebody else signed this user in since
        pass
    visitor = visit(host, None)

    sign_in(visitor.page, host.printed_link)

    expect(visitor.heading).to_have_text("My Library")
    expect(visitor.page.get_by_role("button", name="Sign out")).to_be_visible()


def test_sample_to_answer(ann: Visitor) -> None:
    """Journey 1: empty library, sample data, Tune, progress, ready, and the playground answers."""
    page = ann.page
    expect(page.get_by_text("No tuned models yet.")).to_be_visible()

    ann.choose("Try a sample data set", "Next number")
    ann.use_rows()
    ann.name("Numbers")
    ann.tune()
    expect(page.get_by_role("progressbar")).to_be_visible()
    ann.wait_until_ready()
    ann.press("Use in playground")
    page.get_by_role("textbox", name="Prompt").fill("7")
    ann.press("Run")

    expect(page.get_by_text("tokens in")).to_be_visible()


def test_import_and_tune_tell_whether_it_helped(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """Nothing but Import, Tune and waiting: 60 rows end in a verdict with two answers, first on the page."""
    rows = "".join(f"{number},{number + 1}\n" for number in range(60))
    page = ann.goto("/new")
    ann.import_file("sixty.csv", f"text_input,output\n{rows}".encode())
    ann.use_rows()
    expect(page.get_by_text("Then tunes 3 more times")).to_be_visible()
    expect(page.get_by_text("Test afterwards")).to_be_visible()
    ann.press("Tune")
    page.wait_for_url("**/models/*")
    ann.wait_until_ready()

    sampled = page.get_by_role("region", name="Answers after each epoch")
    expect(sampled.get_by_role("columnheader", name="Epoch 1")).to_be_visible()
    expect(sampled.get_by_role("row")).to_have_count(4)
    panel = page.get_by_role("region", name="Did tuning help?")
    expect(panel.get_by_role("status")).to_contain_text("Tuning without some of the rows")
    expect(panel.get_by_text("on 60 rows")).to_be_visible(timeout=Visitor.TUNE_MS)
    answers = panel.get_by_role("group", name="Example answers")
    expect(answers.locator("dl").first).to_be_visible()
    assert panel.bounding_box()["y"] < page.get_by_role("region", name="Loss").bounding_box()["y"]  # type: ignore[index]
    check(ann, request)


def test_auto_settings_are_chosen_and_explained(ann: Visitor, request: pytest.FixtureRequest) -> None:
    """Before the start: the values, why, and how much longer they take; then the model's page says why, too."""
    labels = "".join(f"row {number},{'yes' if number % 2 else 'no'}\n" for number in range(20))
    page = ann.goto("/new")
    ann.import_file("twenty.csv", f"text_input,output\n{labels}".encode())
    ann.use_rows()
    ann.name("Auto")
    choice = page.get_by_role("radiogroup", name="Epochs, batch size and learning rate")
    usual = "As on Gemini's tuning page: 5 epochs · batch size 4 · learning rate 0.001"
    expect(choice.get_by_role("radio", name=usual)).to_be_checked()

    chosen = "Auto: 20 epochs · batch size 4 · learning rate 0.001 · loss of labels 0.5"
    choice.get_by_text(chosen).click()

    settings = page.get_by_role("region", name="Settings")
    reason = "Auto chose 20 epochs and a loss of labels of 0.5, 100 steps in all, since 20 rows of 2 labels are few."
    expect(settings.get_by_text(reason)).to_contain_text("That is 4 times the steps of Gemini's tuning page, in about")
    expect(page.get_by_role("complementary", name="Estimate").get_by_text("100", exact=True)).to_be_visible()
    ann.open_settings()
    expect(page.get_by_label("Epochs", exact=True)).to_have_count(0)
    check(ann, request)
    model = ann.tune()
    ann.wait_until_ready()

    expect(page.get_by_text(reason)).to_be_visible()
    assert ann.call("GET", f"tunedModels/{model}")["tuningTask"]["hyperparameters"]["epochCount"] == 20


def test_another_epoch_is_put_to_use(ann: Visitor) -> None:
    """The epoch in use is chosen on the page; the chart marks it, and the verdict says that it is of another one."""
    model = ann.create("Epochs", rows=40, epochs=3, holdOut="20")
    page = ann.goto(f"/models/{model}")
    panel = page.get_by_role("region", name="Did tuning help?")
    expect(panel.get_by_role("table")).to_be_visible(timeout=Visitor.TUNE_MS)
    served = ann.call("GET", f"tunedModels/{model}")["servedEpoch"]
    other = 1 if served != 1 else 2

    page.get_by_label("Epoch in use").select_option(str(other))

    expect(panel.get_by_text(f"This was measured with epoch {served}.")).to_be_visible()
    assert ann.call("GET", f"tunedModels/{model}")["servedEpoch"] == other
    page.reload()
    expect(page.get_by_label("Epoch in use")).to_have_value(str(other))
    expect(page.get_by_text("in use", exact=True)).to_be_visible()
