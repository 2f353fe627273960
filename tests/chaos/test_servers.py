"""A slice of the trials with several servers, with two versions of the program, and with moving libraries."""

from __future__ import annotations

import pytest

from tests.chaos.moves import moved
from tests.chaos.servers import rolling_kills
from tests.chaos.versions import upgraded_in_turn

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


def test_two_versions_work_beside_each_other() -> None:
    """
    A migration that only adds: both versions see the same, the earlier one tunes for both and can be started again.

    One that breaks: it is refused while an earlier version is connected, and afterwards refuses that version.
    """
    outcome = upgraded_in_turn(120)

    assert outcome.found.wrong == []
    assert outcome.tuned == [f"tunedModels/{name}" for name in ("made-here", "made-there", "made-later", "made-last")]
    assert outcome.refused_while_connected.startswith("19 ")
    assert "Stop their servers and workers" in outcome.refused_while_connected
    assert outcome.refused_on_newer_tables.startswith("19 ")
    assert "was made by a newer tunery" in outcome.refused_on_newer_tables
