"""What `auto` costs, in words."""

from __future__ import annotations

import pytest

from tunery.service.auto import cost


@pytest.mark.parametrize(
    ("steps", "time", "said"),
    [
        (4, 5.14, "4 times the steps of the page's settings and about 5.1 times their time"),
        (64, 131.7, "64 times the steps of the page's settings and about 130 times their time"),
        (1, 1.46, "as many steps as with the page's settings and about 1.5 times their time"),
        (2.5, None, "2.5 times the steps of the page's settings"),
    ],
)
def test_a_cost_is_said_with_two_digits_of_time(steps: float, time: float | None, said: str) -> None:
    """Never as 1.3e+02; a server elsewhere does not tell the time."""
    assert cost(steps, time) == said
