"""Tests of `engine.answers.threads`: the faster number of threads wins, and the caller's number is left as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from tunery.engine.answers.threads import FIRST_PAUSE_STEPS, ThreadChoice


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def steps(choice: ThreadChoice, count: int, slow_threads: int) -> list[int]:
    """Take steps of which those with so many threads are slow; return with how many threads each ran."""
    used = []
    for _ in range(count):
        with choice.step(1):
            used.append(torch.get_num_threads())
            time.sleep(0.004 if used[-1] == slow_threads else 0.0005)
    return used


def test_one_thread_wins_where_two_are_slow() -> None:
    """After the first comparison all steps run on one thread."""
    used = steps(ThreadChoice(), 12, slow_threads=2)

    assert used[:2] == [2, 2]
    assert used[3:] == [1] * 9


def test_all_threads_stay_where_they_are_faster() -> None:
    """One step is tried, and then no other for twice the pause."""
    used = steps(ThreadChoice(), FIRST_PAUSE_STEPS, slow_threads=1)

    assert used.count(1) == 1


def test_number_of_threads_is_left_as_it_was() -> None:
    """Also when a step ends with an error."""
    choice = ThreadChoice()
    choice.is_single = True

    with pytest.raises(ValueError, match="broken"), choice.step(1):
        raise ValueError("broken")

    assert torch.get_num_threads() == 2
