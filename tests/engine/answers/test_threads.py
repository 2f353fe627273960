"""Tests of `engine.answers.threads`: the faster number of threads wins, and the caller's number is left as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tunery.engine.answers.threads import ThreadChoice

QUIET = {1: 0.009, 2: 0.006}  # seconds of a step by threads
BUSY = {1: 0.010, 2: 3.000}  # another program on one of two cores
LAYERS = 30


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Machine:
    """Takes steps on a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.choice = ThreadChoice(lambda: self.now)

    def run(self, seconds: float, speed: dict[int, float], kinds: tuple[int, ...] = (1,)) -> list[int]:
        """Take steps for so long; return with how many threads each ran. A step of kind k takes k times as long."""
        used: list[int] = []
        end = self.now + seconds
        while self.now < end:
            kind = kinds[len(used) % len(kinds)]
            with self.choice.step(kind):
                used.append(torch.get_num_threads())
                for _ in range(LAYERS):
                    self.choice.watch()
                    self.now += speed[torch.get_num_threads()] * kind / LAYERS
        return used


def test_one_thread_wins_where_two_are_slow() -> None:
    """On a machine that is busy from the start the first step is cut short, and then two are seldom tried."""
    machine = Machine()

    used = machine.run(20.0, BUSY)

    assert used[:3] == [2, 1, 1]
    assert len(used) > 0.9 * 20 / BUSY[1]


def test_all_threads_stay_where_they_are_faster() -> None:
    """On a quiet machine one in a hundred steps is a trial at the most, in the long run."""
    machine = Machine()

    used = machine.run(30.0, QUIET)

    assert used.count(1) / len(used) < 0.01


def test_load_is_answered_within_a_step() -> None:
    """When another program takes a core, the step goes on with one thread, however long it was quiet before."""
    machine = Machine()
    machine.run(60.0, QUIET)

    used = machine.run(1.0, BUSY)

    assert used[:2] == [2, 1]
    assert len(used) > 0.7 / BUSY[1]


def test_somewhat_slow_steps_have_the_other_number_tried() -> None:
    """Steps twice as slow as before, where one thread is faster by then: a few of them are enough."""
    machine = Machine()
    machine.run(60.0, QUIET)

    used = machine.run(1.0, {1: 0.008, 2: 0.012})

    assert used.index(1) <= 5
    assert used[10:].count(2) <= 4


def test_all_threads_come_back_after_the_load() -> None:
    """Some seconds after the load has gone all threads are used again."""
    machine = Machine()
    machine.run(5.0, QUIET)
    machine.run(5.0, BUSY)

    used = machine.run(20.0, QUIET)

    assert set(used[-100:]) == {2}


def test_one_slow_step_does_not_last() -> None:
    """A single hiccup may bring one thread, for a moment."""
    machine = Machine()
    machine.run(10.0, QUIET)
    machine.run(0.001, {1: 0.1, 2: 0.1})

    used = machine.run(1.0, QUIET)

    assert used.count(1) * QUIET[1] < 0.25
    assert used[-1] == 2


def test_steps_of_several_kinds_are_told_apart() -> None:
    """Short and long steps in turn are no reason to try anything."""
    machine = Machine()

    used = machine.run(30.0, QUIET, kinds=(1, 3, 2))

    assert used.count(1) / len(used) < 0.02


def test_number_of_threads_is_left_as_it_was() -> None:
    """Also when a step ends with an error."""
    choice = ThreadChoice()
    choice.is_single = True

    with pytest.raises(ValueError, match="broken"), choice.step(1):
        raise ValueError("broken")

    assert torch.get_num_threads() == 2
