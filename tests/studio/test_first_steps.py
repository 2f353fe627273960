"""From an empty library to the answer of a tuned model: the trip of a new user."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.studio.conftest import Visit
from tests.studio.hosts import Host
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
