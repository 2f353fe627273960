"""Intervals for few rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from tunery.evaluation.scores import Z, bootstrap_mean, bootstrap_p_value, mcnemar, paired_shares, wilson


@pytest.mark.parametrize(("right", "rows"), [(0, 12), (12, 12), (7, 20), (261, 300)])
def test_wilson_is_that_of_scipy(right: int, rows: int) -> None:
    """The interval of a share is scipy's Wilson interval, at the ends too."""
    expected = binomtest(right, rows).proportion_ci(method="wilson")

    assert (wilson(right, rows).low, wilson(right, rows).high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 9), (10, 0), (25, 24)])
def test_mcnemar_is_the_binomial_test(wins: int, losses: int) -> None:
    """The p-value is that of a fair coin."""
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0

    assert mcnemar(wins, losses) == pytest.approx(expected)


def test_rows_that_all_agree_leave_room_for_a_difference() -> None:
    """Twenty rows without a win or a loss do not prove that there are none (closed form of Tango's interval)."""
    found = paired_shares(0, 0, 20)

    assert (found.low, found.high) == pytest.approx((-Z * Z / (20 + Z * Z), Z * Z / (20 + Z * Z)))


def test_paired_shares_turn_round_with_their_order() -> None:
    """What is a win for one is a loss for the other."""
    one, other = paired_shares(12, 5, 60), paired_shares(5, 12, 60)

    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.low < 7 / 60 < one.high


@pytest.mark.parametrize("rows", [20, 60])
@pytest.mark.parametrize(("win", "loss"), [(0.3, 0.1), (0.05, 0.05), (0.02, 0.0)])
def test_paired_shares_hold_the_truth_as_often_as_they_say(rows: int, win: float, loss: float) -> None:
    """In 95 % of drawn experiments the interval holds the true difference, 93 % at least."""
    random = np.random.default_rng(1)
    drawn = random.multinomial(rows, [win, loss, 1 - win - loss], size=400)

    held = [(found := paired_shares(int(w), int(lo), rows)).low <= win - loss <= found.high for w, lo, _ in drawn]

    assert np.mean(held) >= 0.93


@pytest.mark.parametrize("rows", [20, 80])
def test_the_bootstrap_holds_the_truth_as_often_as_it_says(rows: int) -> None:
    """With few skewed scores too, the interval of the mean holds the true mean in 90 % of the cases at least."""
    random = np.random.default_rng(2)
    drawn = random.beta(0.5, 1.5, size=(300, rows))

    held = [(found := bootstrap_mean(row)).low <= 0.25 <= found.high for row in drawn]

    assert np.mean(held) >= 0.90


def test_equal_rows_and_seed_give_equal_intervals() -> None:
    """A report can be made again."""
    values = np.random.default_rng(3).random(40)

    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)


def test_a_clear_difference_has_a_small_p_value() -> None:
    """Differences on one side only are no chance, those on both sides may be."""
    random = np.random.default_rng(4)

    assert bootstrap_p_value(random.normal(0.3, 0.1, 30)) < 0.01
    assert bootstrap_p_value(random.normal(0.0, 0.1, 30)) > 0.05
