"""
The browser of the tests: the system's own Chromium, driven by Playwright; nothing is downloaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Error, expect, sync_playwright

from tests.needs import missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ACTION_MS = 30_000  # the machine may be busy: a wait that is over when the page is ready costs nothing
EVIDENCE = Path(__file__).parents[2] / ".cache" / "studio"


def find() -> str:
    """Return the path of Chromium; without one the test is skipped, in CI (CI=true) it fails."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing("no Chromium on this machine: apt-get install chromium")
    return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """Give a running browser."""
    path = find()
    expect.set_options(timeout=ACTION_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def keep_evidence(context: BrowserContext, name: str) -> None:
    """Write a picture of each page and the trace of a visit that failed below `.cache/studio/`."""
    folder = EVIDENCE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, page in enumerate(context.pages):
        try:
            page.screenshot(path=folder / f"page-{number}.png", full_page=True)
            (folder / f"page-{number}.html").write_text(page.content(), "utf-8")
        except Error as error:  # a page that hangs has no picture; the trace tells
            (folder / f"page-{number}.txt").write_text(str(error), "utf-8")
    context.tracing.stop(path=folder / "trace.zip")
