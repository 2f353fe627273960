"""More than one user: a model that is shared, and somebody who has not signed in."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.studio.conftest import Visit
from tests.studio.hosts import PASSWORD, Host
from tests.studio.visitor import Visitor


def test_sharing(ann: Visitor, visit: Visit, make_model: Callable[[Visitor], str]) -> None:
    """
    Journey 8: who is given a model finds it under Shared with me, can ask it, and cannot change it.

    The dialog says why an address is refused, that nobody gets a message, and how far the link leads.
    """
    model = make_model(ann)
    bob = visit(ann.host, "bob")
    ann.goto(f"/models/{model}")
    ann.press("Share")
    dialog = ann.page.get_by_role("dialog")
    expect(dialog.get_by_text("This link works on this computer only.")).to_be_visible()
    dialog.get_by_label("Email address").fill("bob")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_text("Enter an email address, such as ann@example.com.")).to_be_visible()
    dialog.get_by_label("Email address").fill(bob.user)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("listitem").filter(has_text=bob.user)).to_be_visible()
    expect(dialog.get_by_text("No message is sent: copy the link and send it yourself.")).to_be_visible()
    expect(dialog.get_by_role("button", name=re.compile("owner"))).to_have_count(0)  # apart, in a section that opens

    bob.goto("/")
    expect(bob.page.get_by_text("No tuned models yet.")).to_be_visible()
    bob.press("Shared with me")
    bob.page.get_by_role("link", name="Numbers").click()
    expect(bob.heading).to_have_text("Numbers")
    expect(bob.page.get_by_role("link", name="Use in playground")).to_be_visible()
    expect(bob.page.get_by_role("button", name="Rename")).to_have_count(0)
    bob.press("Actions for Numbers")
    expect(bob.page.get_by_role("menuitem", name="Tune again")).to_be_visible()
    expect(bob.page.get_by_role("menuitem", name="Delete")).to_have_count(0)


def test_readers_see_the_rows_if_the_owner_says_so(
    ann: Visitor, visit: Visit, make_model: Callable[[Visitor], str]
) -> None:
    """Data, held-out rows, API tab and Tune again hold none of the rows until the owner ticks the box."""
    model, bob = make_model(ann), visit(ann.host, "bob")
    shared = {"granteeType": "USER", "emailAddress": bob.user, "role": "READER"}
    ann.call("POST", f"tunedModels/{model}/permissions", shared)
    hidden = "Only the owner and writers can see the examples of this model."
    for tab in ("heldOut", "data"):
        expect(bob.goto(f"/models/{model}?tab={tab}").get_by_text(hidden)).to_be_visible()
    bob.goto(f"/models/{model}?tab=api")
    expect(bob.page.get_by_role("heading", name="API", exact=True)).to_be_visible()
    bob.goto(f"/new?from={model}")
    expect(bob.page.get_by_role("button", name="Type or paste examples")).to_be_visible()
    assert bob.watch.complaints == []  # and nothing was asked for that a reader may not have

    ann.goto(f"/models/{model}")
    ann.press("Share")
    dialog = ann.page.get_by_role("dialog")
    expect(dialog).to_contain_text(
        "Readers can use the model. Writers can also see its examples, edit it and share it."
    )
    box = dialog.get_by_label("Readers can see its examples, including the held-out rows")
    expect(box).not_to_be_checked()
    dialog.get_by_text("Readers can see its examples").click()
    expect(box).to_be_checked()

    page = bob.without_evaluations().goto(f"/models/{model}?tab=heldOut")
    expect(page.get_by_role("button", name="Run both models")).to_be_visible()


def test_signing_in_keeps_the_form(visit: Visit, host: Host) -> None:
    """Journey 9: without a sign-in Tune asks for one over the page; then the form is as it was, and tunes."""
    visitor = visit(host, None)
    user = host.new_user("carol")
    visitor.watch.allow("401", "403")
    page = visitor.goto("/new")
    page.get_by_role("button", name="Type or paste examples").click()
    page.get_by_role("textbox", name=re.compile("One example per line")).fill(
        "\n".join(f"{number}\t{number + 1}" for number in range(20))
    )
    visitor.press("Use 20 examples")
    visitor.name("Typed before signing in")
    page.get_by_role("button", name="Tune", exact=True).click()

    dialog = page.get_by_role("dialog", name="Sign in")
    expect(dialog).to_contain_text("Sign in to tune. An API key is not enough.")
    dialog.get_by_label("User").fill(user)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Sign in").click()

    expect(dialog).to_be_hidden()
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Typed before signing in")
    expect(page.get_by_text("20 examples").first).to_be_visible()
    visitor.tune()


def test_an_ended_session_is_signed_in_again(visit: Visit, host: Host) -> None:
    """A session that ends in the middle opens the dialog at the next call; after signing in the work goes on."""
    visitor = visit(host, user=(user := host.new_user("dave")))
    visitor.watch.allow("401", "403")
    page = visitor.goto("/new")
    page.get_by_role("button", name="Type or paste examples").click()
    page.get_by_role("textbox", name=re.compile("One example per line")).fill(
        "\n".join(f"{number}\t{number + 1}" for number in range(20))
    )
    visitor.press("Use 20 examples")
    visitor.name("Typed before it ended")

    visitor.context.clear_cookies()
    page.get_by_role("button", name="Tune", exact=True).click()

    dialog = page.get_by_role("dialog", name="Sign in")
    expect(dialog).to_contain_text("Your session has ended. Sign in to continue; nothing is lost.")
    dialog.get_by_label("User").fill(user)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_text(f"Signed in as {user}.")).to_be_visible()
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Typed before it ended")
    visitor.tune()
