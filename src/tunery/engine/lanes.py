"""
Two lanes through one packed row: it is cut at a token, and each part is computed by a thread of its own.

Every layer works on each token alone but attention, where the second part also looks at keys and values of the first.
So once a layer the first lane hands those over, and on the way back the second lane hands back their gradient: 60 short
waits a step of the default base, where threads that share each product would wait 6,000 times. A lane that waits
sleeps; another program on one of the cores costs its share and no more. Where the row is cut and the order of every sum
follow from the row alone, so the result does not depend on timing.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
T = TypeVar("T")


class LaneStopped(Exception):
    """The other lane has failed; its error is the one to show."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What the lanes of one pass give each other, in the order of the layers there and in the reverse order back."""

    keys: SimpleQueue[Pair | None] = field(default_factory=SimpleQueue)
    gradients: SimpleQueue[Pair | None] = field(default_factory=SimpleQueue)

    def stop(self) -> None:
        """Wake a lane that waits: nothing more will come."""
        self.keys.put(None)
        self.gradients.put(None)


@dataclass(frozen=True, slots=True)
class FirstLane:
    """Gives its keys and values `[K, C, D]` away and adds the gradient that comes back."""

    handover: Handover

    def share(self, key: Tensor, value: Tensor) -> Pair:
        self.handover.keys.put((key.detach(), value.detach()))
        return key, value

    def settle(self, grad_key: Tensor, grad_value: Tensor) -> Pair:
        other_key, other_value = _taken(self.handover.gradients)
        return grad_key.add_(other_key), grad_value.add_(other_value)


@dataclass(frozen=True, slots=True)
class SecondLane:
    """Puts the first lane's keys and values before its own, and gives their gradient back."""

    handover: Handover
    start: int

    def share(self, key: Tensor, value: Tensor) -> Pair:
        first_key, first_value = _taken(self.handover.keys)
        return torch.cat((first_key, key), 1), torch.cat((first_value, value), 1)

    def settle(self, grad_key: Tensor, grad_value: Tensor) -> Pair:
        self.handover.gradients.put((grad_key[:, : self.start], grad_value[:, : self.start]))
        return grad_key[:, self.start :], grad_value[:, self.start :]


class LanePair:
    """Runs the work of two lanes at the same time, each with half of the threads that torch may use."""

    def __init__(self) -> None:
        self.start_thread()
        _pairs.add(self)

    def start_thread(self) -> None:
        self._thread = ThreadPoolExecutor(1, "lane")

    def run(self, works: tuple[Callable[[], T], Callable[[], T]], handover: Handover) -> tuple[T, T]:
        """Return what both give; an error of either is raised after both have ended."""
        threads = max(1, torch.get_num_threads() // 2)
        second = self._thread.submit(_lane, works[1], handover, threads, torch.is_grad_enabled())
        try:
            with _threads_kept():
                first = _lane(works[0], handover, threads, torch.is_grad_enabled())
        except LaneStopped:
            second.result()  # raises the error of the other lane
            raise
        finally:
            second.exception()  # waits
        return first, second.result()


_pairs: weakref.WeakSet[LanePair] = weakref.WeakSet()


def _start_threads() -> None:
    for pair in _pairs:
        pair.start_thread()


if hasattr(os, "register_at_fork"):  # a fork copies no threads: in the child, second lanes would never run
    os.register_at_fork(after_in_child=_start_threads)


def _lane(work: Callable[[], T], handover: Handover, threads: int, is_grad_enabled: bool) -> T:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)  # counts for the thread that calls it
    try:
        with torch.set_grad_enabled(is_grad_enabled):
            return work()
    except BaseException:
        handover.stop()
        raise


@contextmanager
def _threads_kept() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _taken(queue: SimpleQueue[Pair | None]) -> Pair:
    pair = queue.get()
    if pair is None:
        raise LaneStopped
    return pair
