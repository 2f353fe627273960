"""Users and keys, which administrators manage in the page for an hour after they have signed in."""

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
