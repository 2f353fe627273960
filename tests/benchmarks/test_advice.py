"""When advice counts as kept, and which run it leads to."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from benchmarks.advice import CASES, CHANGES, RUINED, follow_up, is_kept, table
from tunery.types import Hyperparameters, TuningExample

FIRST = Hyperparameters().resolve()


@pytest.mark.parametrize(
    ("kind", "epochs", "rate"),
    [("falling", 10, 0.001), ("unlearned", 5, 0.003), ("rose", 5, 0.001 / 3)],
)
def test_advice_that_asks_for_a_run_leads_to_one(kind: str, epochs: int, rate: float) -> None:
    """With more epochs, or with a higher or lower rate."""
    after = follow_up(kind, FIRST)

    assert after is not None
    assert (after.epoch_count, after.learning_rate) == (epochs, pytest.approx(rate))


def test_what_is_only_observed_leads_to_no_run() -> None:
    """The best epoch is served already, and flat training loss says nothing about another run."""
    assert [follow_up(kind, FIRST) for kind in ("memorised", "flat", "ruined")] == [None] * 3


def test_one_point_less_is_kept() -> None:
    """A point of the mean over the seeds is allowed, more is not; without a run there is nothing to break."""

    def result(after: float) -> dict[str, Any]:
        return {"name": CASES[0].name, "advice": {"kind": "falling"}, "first": [0.5, 0.6], "next": [after, after]}

    silent = {"name": CASES[1].name, "advice": None, "first": [0.5]}
    ruined = {"name": RUINED[0].name, "advice": None, "first": [0.0]}

    assert [is_kept(result(0.541)), is_kept(result(0.539)), is_kept(silent)] == [True, False, True]
    assert table([result(0.539), silent, ruined]).endswith("Advice holds on 1 of 2 sets; 1 of 2 ruined runs get none.")


def test_wrong_labels_are_as_many_as_said() -> None:
    """A fifth of the rows gets another label of the set, the inputs stay; twenty sets have names of their own."""
    rows = [TuningExample(str(number), "ab"[number % 2]) for number in range(20)]

    changed = CHANGES["a fifth of the labels wrong"](rows, Random(0))

    assert [row.text_input for row in changed] == [row.text_input for row in rows]
    assert sum(one.output != other.output for one, other in zip(rows, changed, strict=True)) == 4
    assert {row.output for row in CHANGES["one label"](rows, Random(0))} == {"a"}
    assert len({case.name for case in CASES}) == 20
