"""Confidence intervals and p-values for few rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from tunery.evaluation.scores import Z, bootstrap_mean, bootstrap_p_value, mcnemar, paired_shares, wilson


@pytest.mark.parametrize(("right", "rows"), [(0, 12), (12, 12), (7, 20), (261, 300)])
def test_wilson_is_that_of_scipy(right: int, rows: int) -> None:
    """The interval of a share equals scipy's Wilson interval, also for 0 and 1."""
    expected = binomtest(right, rows).proportion_ci(method="wilson")

    assert (wilson(right, rows).low, wilson(right, rows).high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 9), (10, 0), (25, 24)])
def test_mcnemar_is_the_binomial_test(wins: int, losses: int) -> None:
    """The p-value equals that of a binomial test with probability 0.5."""
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0

    assert mcnemar(wins, losses) == pytest.approx(expected)


def test_equal_scores_on_all_rows_leave_room_for_a_difference() -> None:
    """Without wins and losses the interval still has a width (closed form of Tango's interval)."""
    found = paired_shares(0, 0, 20)

    assert (found.low, found.high) == pytest.approx((-Z * Z / (20 + Z * Z), Z * Z / (20 + Z * Z)))


def test_paired_shares_are_antisymmetric() -> None:
    """Swapping wins and losses mirrors the interval."""
    one, other = paired_shares(12, 5, 60), paired_shares(5, 12, 60)

    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.low < 7 / 60 < one.high


@pytest.mark.parametrize("rows", [20, 60])
@pytest.mark.parametrize(("win", "loss"), [(0.3, 0.1), (0.05, 0.05), (0.02, 0.0)])
def test_paired_shares_have_their_coverage(rows: int, win: float, loss: float) -> None:
    """The interval contains the true difference in at least 93 % of simulated experiments."""
    random = np.random.default_rng(1)
    drawn = random.multinomial(rows, [win, loss, 1 - win - loss], size=400)

    held = [(found := paired_shares(int(w), int(lo), rows)).low <= win - loss <= found.high for w, lo, _ in drawn]

    assert np.mean(held) >= 0.93


@pytest.mark.parametrize("rows", [20, 80])
def test_the_bootstrap_has_its_coverage(rows: int) -> None:
    """The interval contains the true mean of few skewed scores in at least 90 % of simulated experiments."""
    random = np.random.default_rng(2)
    drawn = random.beta(0.5, 1.5, size=(300, rows))

    held = [(found := bootstrap_mean(row)).low <= 0.25 <= found.high for row in drawn]

    assert np.mean(held) >= 0.90


def test_equal_rows_and_seed_give_equal_intervals() -> None:
    """Intervals are reproducible."""
    values = np.random.default_rng(3).random(40)

    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)


def test_a_clear_difference_has_a_small_p_value() -> None:
    """Differences on one side are significant, differences around 0 are not."""
    random = np.random.default_rng(4)

    assert bootstrap_p_value(random.normal(0.3, 0.1, 30)) < 0.01
    assert bootstrap_p_value(random.normal(0.0, 0.1, 30)) > 0.05
