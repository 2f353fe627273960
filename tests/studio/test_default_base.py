"""Journey 1 once more with the base that users get: import tickets, tune, compare, answer."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.needs import NO_DEFAULT_BASE, missing
from tests.studio.conftest import Visit
from tests.studio.hosts import DEFAULT, Host, make_default_home

TICKETS = Path(__file__).parents[2] / "examples" / "tickets.csv"
ROWS = 24  # as many of the tickets as two busy cores learn in a minute
EPOCHS = 2

pytestmark = pytest.mark.base


@pytest.fixture
def default_host(browser: Browser, tmp_path: Path) -> Iterator[Host]:  # noqa: ARG001 (no browser, no work)
    """Return a server with the default base."""
    try:
        home = make_default_home(tmp_path / "home")
    except FileNotFoundError:
        missing(NO_DEFAULT_BASE)
    with Host.on(home, DEFAULT) as host:
        yield host


def some_tickets() -> bytes:
    """Return a file with the first tickets of the example."""
    with TICKETS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[: ROWS + 1]
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def test_tickets(visit: Visit, default_host: Host) -> None:
    """Three actions and a name: import, Tune, Compare; the tuned model answers with a category, the base with prose."""
    visitor = visit(default_host)
    page = visitor.goto("/new")
    visitor.import_file("tickets.csv", some_tickets())
    visitor.use_rows()
    visitor.name("Tickets")
    visitor.open_settings()
    page.get_by_label("Epochs", exact=True).fill(str(EPOCHS))
    visitor.tune()
    visitor.wait_until_ready()

    visitor.press("Compare")
    with TICKETS.open(encoding="utf-8", newline="") as file:
        ticket = list(csv.DictReader(file))[ROWS]["text_input"]
    page.get_by_label("Max output tokens").fill("12")
    page.get_by_role("textbox", name="Prompt").fill(ticket)
    visitor.press("Run")

    answer = page.get_by_role("region", name="Answer of Tickets")
    expect(answer).to_contain_text("complete", timeout=visitor.TUNE_MS)
    expect(answer).to_contain_text(re.compile(r"(billing|login|delivery|bug|question|feature) / (low|normal|high)"))
    expect(page.get_by_role("region", name=re.compile("^Answer of (?!Tickets)"))).to_contain_text("tokens in")
