"""The page of what each client can do: made of what came out in this very run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.clients.matrix import JOURNEYS, PAGE, page

pytestmark = pytest.mark.full


def test_the_page_is_what_came_out(outcomes_of: Callable[[str], dict[str, Any]]) -> None:
    """docs/compatibility.md is what the journeys say; `python -m tests.acceptance.clients.matrix` writes it anew."""
    assert PAGE.read_text("utf-8") == page({client: outcomes_of(client) for client in JOURNEYS})


def test_nothing_failed(outcomes_of: Callable[[str], dict[str, Any]]) -> None:
    """No behaviour of any client ended in an exception that nobody expected."""
    failed = [
        (client, name) for client in JOURNEYS for name, outcome in outcomes_of(client).items() if "raised" in outcome
    ]

    assert failed == []
