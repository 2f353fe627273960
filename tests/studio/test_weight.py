"""What a first visit costs: bytes over the wire, and the code of the chart only where a curve is in view."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Browser, Request, expect

from tests.studio.visitor import Visitor

MAX_BYTES = 450_000


def test_a_first_visit_to_a_model(ann: Visitor, browser: Browser, make_model: Callable[[Visitor], str]) -> None:
    """With an empty cache the page is at most 450 kB, chart included, and the chart comes when it is scrolled to."""
    address = f"{ann.host.address}/studio/models/{make_model(ann)}"
    fresh = browser.new_context(storage_state=ann.context.storage_state(), viewport={"width": 1280, "height": 150})
    page, requests = fresh.new_page(), list[Request]()
    page.on("requestfinished", lambda request: requests.append(request))
    page.goto(address)
    expect(page.get_by_role("heading", name="Loss", exact=True)).to_be_attached()
    page.wait_for_load_state("networkidle")
    assert [request.url for request in requests if "LossChart" in request.url] == []

    page.get_by_role("heading", name="Loss", exact=True).scroll_into_view_if_needed()
    page.mouse.wheel(0, 400)
    expect(page.locator(".chart svg").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    sizes = {request.url: request.sizes() for request in requests}
    assert any("LossChart" in url for url in sizes)
    total = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes.values())
    assert total <= MAX_BYTES, sizes
    scripts = [request.response() for request in requests if request.url.endswith(".js")]
    assert {script.headers["content-encoding"] for script in scripts if script} == {"br"}
    fresh.close()
