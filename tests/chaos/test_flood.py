"""Floods of a real server, short ones with a tiny base; the figures are those of `python -m tests.chaos.flood`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.chaos import flood
from tests.chaos.flood import FLOODS, Target, flooded, floods, target_of
from tests.chaos.served import Served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such process figures")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with flood.serving() as server:
        yield server


@pytest.fixture(scope="module")
def target(server: Served) -> Target:
    return target_of(server, "tiny")


def test_floods_are_refused_and_nobody_else(server: Served, target: Target) -> None:
    """All floods together get replies, none of them an error of the server; another user is answered, and health is."""
    found = flooded(target, server.pid, list(FLOODS), connections=24, seconds=2)

    assert found.health
    assert found.answers
    assert found.refusals == 0
    assert found.statuses
    assert {status for status in found.statuses if status[0] == "5"} == set()
    assert "Traceback" not in server.said


@pytest.mark.full
def test_the_figures_hold(server: Served) -> None:
    """As the script, with the tiny base and shorter."""
    assert floods(server, "tiny", list(FLOODS), connections=60, seconds=10)
