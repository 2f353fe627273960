"""Tuning jobs that run: seen again after a reload and a restart, cancelled, failed, watched over a broken line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, expect

from tests.studio.visitor import Visitor

POSITION = re.compile(r"Epoch \d+ of 20 · step ([\d,]+) of 8,000")
USAGE = re.compile(r"^Using \d+\.\d of \d+ CPU cores and [\d.,]+ [MG]B")
LONG = {"rows": 400, "epochs": 20, "batch_size": 1}  # 8,000 steps: minutes even on a quick machine
RETRIES = 4  # as often as the Studio asks within 20 seconds


@contextmanager
def a_long_job(visitor: Visitor) -> Iterator[str]:
    """Give the id of a tuned model whose making is shown on the page; it is gone in the end."""
    model = visitor.create("Long", **LONG)
    try:
        visitor.goto(f"/models/{model}")
        expect(visitor.page.get_by_text(POSITION)).to_be_visible()
        yield model
    finally:
        visitor.delete(model)


def step(position: Locator) -> int:
    """Return the step that a page shows."""
    found = POSITION.search(position.inner_text())
    assert found
    return int(found[1].replace(",", ""))


def test_a_job_belongs_to_the_server(ann: Visitor) -> None:
    """Journey 4: a reload, a second tab and a server that starts again show the same job and its whole curve."""
    with a_long_job(ann) as model:
        position = ann.page.get_by_text(POSITION)
        before = step(position)
        expect(ann.page.get_by_text(re.compile(r"^Using \d+\.\d of \d+ CPU cores and [\d.,]+ [MG]B"))).to_be_visible()
        expect(ann.page).to_have_title(re.compile(r"^\d+ % · Long · tunery$"))
        ann.page.reload()
        expect(position).to_be_visible()
        assert step(position) >= before

        tab = ann.context.new_page()
        tab.goto(ann.page.url)
        expect(tab.get_by_text(POSITION)).to_be_visible()
        before = step(tab.get_by_text(POSITION))

        ann.watch.allow("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
        with ann.host.gone():
            banner = "Can't reach the server. Reconnecting… A tuning job that was interrupted resumes when"
            expect(ann.page.get_by_text("Can't reach the server")).to_have_text(f"{banner} the server is back.")
        expect(ann.page.get_by_text("Can't reach the server")).to_be_hidden()
        expect(position).to_be_visible(timeout=ann.TUNE_MS)
        assert step(position) >= before

        snapshots = ann.operation(model)["metadata"]["snapshots"]
        assert [snapshot["step"] for snapshot in snapshots[:3]] == [1, 2, 3]
        ann.page.get_by_role("button", name="Table", exact=True).click()
        losses = ann.page.get_by_role("region", name="Table", exact=True)  # epoch answers have numbers too
        expect(losses.get_by_role("row", name=re.compile(r"^1 \d"))).to_be_visible()


# a browser whose user has not been asked yet, and says yes; headless ones cannot ask
WATCHED = """
window.asked = 0;
window.Notification = class {
  static permission = "default";
  static async requestPermission() { window.asked += 1; return (this.permission = "granted"); }
  static all = [];
  constructor(title, { body }) {
    Notification.all.push(body);
    document.documentElement.dataset.shown = Notification.all.join();
  }
};
document.hasFocus = () => false;
"""


def test_the_end_is_told_elsewhere(ann: Visitor) -> None:
    """The tab's title says how a job stands; a notification of the browser tells its end if its user asked for it."""
    with a_long_job(ann) as ahead:
        short = ann.create("Short")
        page = ann.context.new_page()
        page.add_init_script(WATCHED)
        page.goto(f"{ann.host.address}/studio/models/{short}")
        expect(page).to_have_title("Queued · Short · tunery")
        button = page.get_by_role("button", name="Notify me when it ends")
        expect(button).to_be_visible()
        assert page.evaluate("asked") == 0  # not on load
        button.click()
        expect(page.get_by_role("button", name="Don't notify me")).to_be_visible()
        assert page.evaluate("asked") == 1

        ann.call("POST", f"tunedModels/{ahead}:cancel")
        expect(page).to_have_title("Ready · Short · tunery", timeout=ann.TUNE_MS)
        expect(page.locator("html")).to_have_attribute("data-shown", "“Short” is ready.")
        machine = page.get_by_role("complementary").locator("section", has_text="Peak memory")
        expect(machine).to_contain_text("CPU time")
        expect(page.get_by_text("best epoch")).to_have_count(0)


def test_cancelling(ann: Visitor) -> None:
    """Journey 5: a job is cancelled on second thought, is labelled so, and Tune again has its settings."""
    with a_long_job(ann):
        page = ann.page
        ann.press("Cancel tuning")
        dialog = page.get_by_role("alertdialog")
        expect(dialog.get_by_role("button", name="Keep tuning")).to_be_focused()
        dialog.get_by_role("button", name="Keep tuning").click()
        expect(dialog).to_be_hidden()

        ann.press("Cancel tuning")
        dialog.get_by_role("button", name="Cancel tuning").click()
        expect(page.get_by_text(re.compile(r"Cancelled in epoch \d+ of 20"))).to_be_visible()
        expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()

        ann.choose("Actions for Long", "Tune again")
        expect(ann.heading).to_have_text("New tuned model")
        expect(page.get_by_text("400 examples").first).to_be_visible()
        ann.open_settings()
        expect(page.get_by_label("Epochs", exact=True)).to_have_value("20")
        expect(page.get_by_label("Batch size", exact=True)).to_have_value("1")


def test_a_failed_job_says_why(ann: Visitor) -> None:
    """Journey 6: reason, advice and log stand on its page; it stays in the library with the reason in a line."""
    model = ann.create("Too fast", learning_rate=1e30)
    page = ann.goto(f"/models/{model}")

    expect(page.get_by_text("Failed", exact=True)).to_be_visible(timeout=ann.TUNE_MS)
    expect(page.get_by_text("Tuning became unstable at step")).to_be_visible()
    expect(page.get_by_text("Code: INVALID_ARGUMENT")).to_be_visible()
    page.get_by_role("tab", name="Log").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("unstable")
    ann.press("Tune again with learning rate 0.001")
    expect(page.get_by_text("2 epochs · batch size 4 · learning rate 0.001")).to_be_visible()

    ann.goto("/")
    row = page.get_by_role("row", name=re.compile("Too fast"))
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("unstable")


def test_a_lost_connection(ann: Visitor) -> None:
    """Journey 11: without a connection the page says so and keeps what it knows; with it the job is shown on."""
    with a_long_job(ann):
        page = ann.page
        failed: list[str] = []
        position = page.get_by_text(POSITION)
        ann.watch.allow("ERR_INTERNET_DISCONNECTED")
        page.on("requestfailed", lambda request: failed.append(request.url))

        ann.context.set_offline(True)
        expect(page.get_by_text("Can't reach the server")).to_be_visible()
        while len(failed) < RETRIES:
            page.wait_for_event("requestfailed")
        expect(position).to_be_visible()
        before = step(position)

        ann.context.set_offline(False)
        expect(page.get_by_text("Can't reach the server")).to_be_hidden()
        expect(position).not_to_contain_text(f"step {before} ")
        assert step(position) > before


def test_a_lost_connection_loses_no_input(ann: Visitor) -> None:
    """Journey 11: what was typed into the form of a new model is still there after a failed Tune, and then it tunes."""
    ann.goto("/new?sample=next-number")
    ann.use_rows()
    ann.name("Typed before the cut")
    ann.watch.allow("ERR_INTERNET_DISCONNECTED")
    ann.context.set_offline(True)
    ann.press("Tune")
    expect(ann.page.get_by_text("Can't reach the server").first).to_be_visible()
    expect(ann.page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Typed before the cut")

    ann.context.set_offline(False)
    model = ann.tune()

    ann.delete(model)
