"""Tests of the schedule of `engine.tuner`: which examples make up which step."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.engine.tuner import Recipe, Schedule
from tunery.types import Hyperparameters


def schedule(examples: int, epochs: int, batch: int, **recipe: object) -> Schedule:
    return Schedule(examples, Hyperparameters(epochs, batch), Recipe(**recipe), seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("examples", "epochs", "batch", "steps"), [(15, 5, 2, 38), (15, 5, 4, 19), (15, 100, 4, 375), (15, 50, 4, 188)]
)
def test_total_steps_are_those_of_the_original_service(examples: int, epochs: int, batch: int, steps: int) -> None:
    """ceil(examples × epochs / batch_size), as recorded from the original."""
    assert schedule(examples, epochs, batch).total_steps == steps


@pytest.mark.parametrize(("step", "epoch"), [(1, 0), (40, 10), (81, 21), (120, 32), (188, 50)])
def test_epoch_of_a_step_is_that_of_the_original_service(step: int, epoch: int) -> None:
    """floor(step × batch_size / examples) for 15 examples, 50 epochs, batch 4, as recorded from the original."""
    assert schedule(15, 50, 4).epoch(step) == epoch


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 50))
def test_every_example_is_seen_once_in_each_epoch(examples: int, epochs: int, batch: int) -> None:
    """The steps together hold each example `epochs` times, in whole passes."""
    plan = schedule(examples, epochs, batch)
    seen = [index for step in range(1, plan.total_steps + 1) for index in plan.batch(step)]

    assert len(seen) == examples * epochs
    for start in range(0, len(seen), examples):
        assert sorted(seen[start : start + examples]) == list(range(examples))
    assert Counter(seen) == dict.fromkeys(range(examples), epochs)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 50))
def test_all_epochs_end_and_the_last_step_ends_the_last(examples: int, epochs: int, batch: int) -> None:
    """Passes finished rise from 0 to `epochs`."""
    plan = schedule(examples, epochs, batch)

    assert plan.epoch(0) == 0
    assert plan.epoch(plan.total_steps) == epochs
    assert plan.ends_epoch(plan.total_steps)


def test_another_seed_gives_another_order() -> None:
    """The order follows from the seed and from nothing else."""
    first, again = schedule(30, 1, 30), schedule(30, 1, 30)
    other = Schedule(30, Hyperparameters(1, 30), Recipe(), seed=1)

    assert first.batch(1) == again.batch(1) != other.batch(1)


def test_warmup_rises_and_linear_falls() -> None:
    """A tenth of the steps rises to the rate, then it falls in a line and stays above 0."""
    plan = schedule(100, 1, 1, schedule="linear", warmup_fraction=0.1)
    rates = [plan.learning_rate(step) for step in range(1, 101)]

    assert rates[0] == pytest.approx(0.0001)
    assert max(rates) == pytest.approx(0.001)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] > 0


def test_constant_rate_is_the_users() -> None:
    """Without a schedule each step uses the learning rate as given."""
    plan = Schedule(10, Hyperparameters(2, 4, learning_rate_multiplier=0.5), Recipe(schedule="constant"), seed=0)

    assert {plan.learning_rate(step) for step in range(1, 6)} == {0.0005}
