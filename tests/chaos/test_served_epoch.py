"""A slice of the random tuning runs after which everything names the same served epoch."""

from __future__ import annotations

from tests.chaos import served_epoch
from tests.chaos.template import in_a_new_home


def test_everything_names_the_same_served_epoch() -> None:
    """Library, table, chart, card, API and Studio follow one rule, however a run ended and was resumed."""
    with in_a_new_home() as home:
        found = served_epoch.disagreements(home, 20)

    assert [(number, *one) for number, one in enumerate(found) if one[1]] == []
    assert {kind.partition(",")[0] for kind, _ in found} == set(served_epoch.ENDS)
