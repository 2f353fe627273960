"""The trip of a new user again, with nothing but a keyboard."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.studio.visitor import Visitor

MAX_TABS = 80

_NAME = """() => {
  const element = document.activeElement;
  const label = element.labels?.[0]?.textContent ?? "";
  return (element.getAttribute("aria-label") ?? (label || element.textContent)).trim();
}"""


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus has this name."""
    passed = []
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        passed.append(page.evaluate(_NAME))
        if passed[-1].startswith(name):
            return
    raise AssertionError(f"{name!r} is not reached with Tab; passed {passed}")


def test_sample_to_answer_by_keyboard(ann: Visitor) -> None:
    """Journey 10: from the empty library to an answer without a mouse; Esc closes, Ctrl+Enter tunes and runs."""
    page, keyboard = ann.page, ann.page.keyboard
    expect(page.get_by_text("No tuned models yet.")).to_be_visible()
    tab_to(page, "Try a sample data set")
    keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Next number")).to_be_focused()
    keyboard.press("Enter")

    expect(ann.heading).to_be_focused()
    expect(page.get_by_role("button", name="Import 127 examples")).to_be_enabled()
    tab_to(page, "Import 127 examples")
    keyboard.press("Enter")
    expect(page.get_by_role("grid", name="Examples")).to_be_visible()
    tab_to(page, "Name")
    keyboard.press("Control+A")
    keyboard.type("By keyboard")
    keyboard.press("Control+Enter")
    page.wait_for_url("**/studio/models/*")
    expect(ann.heading).to_be_focused()

    tab_to(page, "Cancel tuning")
    keyboard.press("Enter")
    expect(page.get_by_role("alertdialog")).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("alertdialog")).to_be_hidden()
    ann.wait_until_ready()
    tab_to(page, "Use in playground")
    keyboard.press("Enter")

    expect(ann.heading).to_have_text("Playground")
    tab_to(page, "Prompt")
    keyboard.type("7")
    keyboard.press("Control+Enter")
    expect(page.get_by_text("tokens in")).to_be_visible()
