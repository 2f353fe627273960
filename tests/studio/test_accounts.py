"""Users, keys and the audit log, for administrators and within an hour after they have signed in."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import Visit
from tests.studio.hosts import Host
from tests.studio.test_screens import check
from tests.studio.visitor import Visitor


def test_users_and_keys(visit: Visit, host: Host, ann: Visitor, request: pytest.FixtureRequest) -> None:
    """People are added with a link and locked out, keys are shown once and revoked; others see no such page."""
    expect(ann.page.get_by_role("link", name="Users and keys")).to_have_count(0)
    expect(ann.goto("/accounts").get_by_text("Only administrators can manage")).to_be_visible()

    owner = visit(host, user="local")
    page = owner.goto("/accounts")
    page.get_by_label("Email address").fill("eve@example.com")
    owner.press("Add user")
    link = page.get_by_role("dialog", name="Sign-in link for eve@example.com")
    expect(link.locator("pre")).to_have_text(re.compile(rf"^{host.address}/setup\?token="))
    check(owner, request)
    page.keyboard.press("Escape")
    owner.choose("Actions for eve@example.com", "Lock out")
    row = page.get_by_role("row", name=re.compile("eve@example.com"))
    expect(row.get_by_text("Disabled")).to_be_visible()
    check(owner, request)

    page.get_by_role("tab", name="Keys").click()
    page.get_by_label("Note").fill("a test")
    owner.press("Create API key")
    expect(page.get_by_role("dialog", name="New API key").locator("pre")).not_to_be_empty()
    page.keyboard.press("Escape")
    key = page.get_by_role("row").filter(has_text="a test")
    expect(key).to_contain_text("API key")
    check(owner, request)
    key.get_by_role("button", name=re.compile("^Revoke")).click()
    page.get_by_role("alertdialog").get_by_role("button", name="Revoke").click()
    expect(key).to_have_count(0)


def test_the_audit_log(visit: Visit, host: Host, ann: Visitor, request: pytest.FixtureRequest) -> None:
    """Who did what is listed newest first, page by page; what one user did, or was done to one model, by itself."""
    model = ann.create("Numbers")
    for _ in range(60):
        host.call("PUT", "accounts/groups/team@example.com", {"members": [ann.user]})
    owner = visit(host, user="local")
    page = owner.goto("/accounts?tab=log")
    rows = page.get_by_role("table", name="Audit log").locator("tbody").get_by_role("row")
    expect(rows).to_have_count(50)
    expect(rows.filter(has_text="groups/team@example.com").first).to_contain_text("Set group")
    check(owner, request)

    owner.press("Show more")
    expect(rows.filter(has_text=f"tunedModels/{model}")).to_have_count(1)
    page.get_by_label("Tuned model ID").fill(model)
    owner.press("Show")
    expect(rows).to_have_count(1)
    for part in (ann.user, "Create tuned model", "base model tiny; examples 8"):
        expect(rows).to_contain_text(part)
    check(owner, request)

    page.get_by_label("Tuned model ID").fill("no-such-model")
    owner.press("Show")
    expect(page.get_by_text("Nothing was recorded.")).to_be_visible()
    page.get_by_label("Tuned model ID").fill("")
    owner.press("Show")
    people = page.get_by_label("By", exact=True)
    if people.evaluate("field => field.tagName") == "SELECT":  # a field to search in where there are many users
        people.select_option(ann.user)
    else:
        people.fill(ann.user)
        page.get_by_role("option", name=ann.user).click()
    expect(rows.first).to_contain_text(ann.user)
    expect(rows.filter(has_text="Set group")).to_have_count(0)
