"""Estimates of what more rows would bring."""

from __future__ import annotations

import pytest

from tunery.errors import InvalidArgument
from tunery.evaluation.verdict import Measured, grow


def curve(*scores: float, tested: int = 300) -> list[Measured]:
    return [Measured(25 * 2**step, score, tested) for step, score in enumerate(scores)]


def test_a_power_law_is_recovered() -> None:
    """Errors of 2 × rows^-0.5 are extrapolated along the same curve."""
    measured = [Measured(rows, 1 - 2 * rows**-0.5, 10_000) for rows in (25, 50, 100, 200)]

    found = grow(measured, "accuracy")

    assert found.promises[1].rows == 400
    assert found.promises[1].score == pytest.approx(1 - 2 * 400**-0.5, abs=0.01)
    assert found.promises[0].text.startswith("50 more rows: about +")


def test_a_flat_curve_promises_no_gain() -> None:
    """If doubling the rows brought nothing, the advice is against more rows."""
    found = grow(curve(0.9, 0.9, 0.9, 0.9, tested=2_000), "accuracy")

    assert abs(found.promises[1].gain) < 0.01
    assert "hardly help" in found.advice


def test_few_tested_rows_make_a_wide_interval() -> None:
    """The same scores on fewer rows give a wider interval."""
    wide, narrow = (grow(curve(0.5, 0.6, 0.7, tested=n), "accuracy").promises[1].interval for n in (20, 2_000))

    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert narrow.low <= grow(curve(0.5, 0.6, 0.7, tested=2_000), "accuracy").promises[1].gain <= narrow.high


def test_two_sizes_are_too_few_for_a_curve() -> None:
    """A curve needs three sizes."""
    with pytest.raises(InvalidArgument, match="at least 3"):
        grow(curve(0.5, 0.6), "accuracy")
