"""Every screen and dialog: no violation of WCAG 2.2 AA in either theme, nothing wider than a narrow window."""

from __future__ import annotations

import pytest

from tests.studio.accessibility import faults
from tests.studio.visitor import Visitor

EMPTY = {"library": "/", "new": "/new", "playground": "/playground", "help": "/help", "missing": "/nowhere"}


@pytest.mark.parametrize("path", EMPTY.values(), ids=EMPTY.keys())
def test_screens_of_a_new_user(ann: Visitor, path: str) -> None:
    """Screens before there is anything to show."""
    ann.goto(path)

    assert faults(ann.page) == []
