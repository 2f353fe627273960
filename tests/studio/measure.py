"""
How long it takes until the Studio can be used, and what 5,000 rows cost: printed, since tests assert no time.

    python -m tests.studio.measure

A first visit with an empty cache each time: from the request of the address until the first button can be pressed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.studio import chromium
from tests.studio.hosts import Host, make_home
from tests.studio.test_grid import grid_of, numbers
from tests.studio.visitor import Visitor, arrive, sign_in

VISITS = 9


def main() -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Host.on(make_home(Path(folder))) as host,
        chromium.browsing() as browser,
    ):
        user = host.new_user("ann")
        _say("usable, first visit", [_first_visit(browser, host, user) for _ in range(VISITS)])
        visitor = arrive(browser, host, user)
        for name, seconds in _rows(visitor).items():
            _say(f"5,000 rows: {name}", [seconds])


def _first_visit(browser: Browser, host: Host, user: str) -> float:
    visitor = arrive(browser, host)
    sign_in(visitor.page, host.link(user))
    state = visitor.context.storage_state()
    visitor.context.close()
    fresh = browser.new_context(storage_state=state)
    page = fresh.new_page()
    seconds = _timed(lambda: (page.goto(f"{host.address}/studio/"), _until_usable(page)))
    fresh.close()
    return seconds


def _until_usable(page: object) -> None:
    button = page.get_by_role("button", name="Try a sample data set")  # type: ignore[attr-defined]
    button.click(trial=True)  # waits until it is there, still and takes a press


def _rows(visitor: Visitor) -> dict[str, float]:
    page, found = visitor.page, {}
    content = numbers()
    found["import"] = _timed(lambda: grid_of(visitor, content))
    grid = page.get_by_role("grid", name="Examples")

    def last() -> None:
        grid.press("Control+End")
        expect(grid.get_by_text("question 4999", exact=True)).to_be_visible()

    def edit() -> None:
        grid.press("Enter")
        page.get_by_role("textbox", name="Output of row 5000").fill("changed")
        page.keyboard.press("Control+Enter")
        expect(grid.get_by_text("changed", exact=True)).to_be_visible()

    found["go to the last row"] = _timed(last)
    found["change a row"] = _timed(edit)
    return found


def _timed(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def _say(what: str, seconds: list[float]) -> None:
    middle, worst = statistics.median(seconds), max(seconds)
    print(f"{what:32} median {middle:5.2f} s, longest {worst:5.2f} s of {len(seconds)}")  # noqa: T201


if __name__ == "__main__":
    main()
