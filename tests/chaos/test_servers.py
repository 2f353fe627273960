"""A slice of the trials with several servers and with moving libraries."""

from __future__ import annotations

import pytest

from tests.chaos.moves import moved
from tests.chaos.servers import rolling_kills

pytestmark = pytest.mark.full


def test_servers_that_are_killed_in_turn_lose_nothing() -> None:
    """What was acknowledged is seen through every server, and pages have each model once."""
    found = rolling_kills(600, kill_seconds=3)

    assert found.kills > 0
    assert found.wrong == []


def test_a_move_that_is_killed_ends_the_same() -> None:
    """There and back, with a reader who finds all models the whole time."""
    outcome = moved(1)

    assert outcome.kills > 0
    assert (outcome.different, outcome.looks_in_vain) == ([], 0)
