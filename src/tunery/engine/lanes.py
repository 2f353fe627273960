"""
Two lanes for one packed row: the row is split at a token, and each part is computed by its own thread.

Layers compute each token independently, except in attention, where the second part also sees keys and values of the
first. So in each layer the first lane passes these on, and in the backward pass the second lane returns their gradient.
This takes 60 short waits per step of the default base, whereas threads that share each product would wait 6,000 times.
A waiting lane sleeps, so another program on one of the cores costs no more than its share. The place of the split and
the order of every sum depend only on the row, so the result does not depend on timing.
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
    """The other lane has failed, and its error is the one to report."""


@dataclass(frozen=True, slots=True)
class Handover:
    """
    What the lanes of a pass exchange: in the order of the layers in the forward pass, and in reverse order in the
    backward pass.
    """

    keys: SimpleQueue[Pair | None] = field(default_factory=SimpleQueue)
    gradients: SimpleQueue[Pair | None] = field(default_factory=SimpleQueue)

    def stop(self) -> None:
        """Wake a waiting lane, because nothing more will come."""
        self.keys.put(None)
        self.gradients.put(None)


@dataclass(frozen=True, slots=True)
class FirstLane:
    """Passes on its keys and values `[K, C, D]`, and adds the gradient that comes back."""

    handover: Handover

    def share(self, key: Tensor, value: Tensor) -> Pair:
        self.handover.keys.put((key.detach(), value.detach()))
        return key, value

    def settle(self, grad_key: Tensor, grad_value: Tensor) -> Pair:
        other_key, other_value = _taken(self.handover.gradients)
        return grad_key.add_(other_key), grad_value.add_(other_value)


@dataclass(frozen=True, slots=True)
class SecondLane:
    """Puts the first lane's keys and values before its own, and returns their gradient."""

    handover: Handover
    start: int

    def share(self, key: Tensor, value: Tensor) -> Pair:
        first_key, first_value = _taken(self.handover.keys)
        return torch.cat((first_key, key), 1), torch.cat((first_value, value), 1)

    def settle(self, grad_key: Tensor, grad_value: Tensor) -> Pair:
        self.handover.gradients.put((grad_key[:, : self.start], grad_value[:, : self.start]))
        return grad_key[:, self.start :], grad_value[:, self.start :]


class LanePair:
    """Runs two lanes at the same time, each with half of the threads that torch may use."""

    def __init__(self) -> None:
        self.start_thread()
        _pairs.add(self)

    def start_thread(self) -> None:
        self._thread = ThreadPoolExecutor(1, "lane")

    def run(self, works: tuple[Callable[[], T], Callable[[], T]], handover: Handover) -> tuple[T, T]:
        """Return both results; an error in either lane is raised after both have ended."""
        threads = max(1, torch.get_num_threads() // 2)
        is_grad, is_inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        second = self._thread.submit(_lane, works[1], handover, threads, is_grad, is_inference)
        try:
            with _threads_kept():
                first = _lane(works[0], handover, threads, is_grad, is_inference)
        except LaneStopped:
            second.result()  # raises the error of the other lane
            raise
        finally:
            second.exception()  # waits
        return first, second.result()


_pairs: weakref.WeakSet[LanePair] = weakref.WeakSet()


def _replace_threads() -> None:
    """Start the threads of lanes again, and use none of OpenMP's: a fork copies no threads, but their pools wait."""
    if _pairs:
        torch.set_num_threads(1)  # of each lane
    for pair in _pairs:
        pair.start_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_threads)


def _lane(work: Callable[[], T], handover: Handover, threads: int, is_grad_enabled: bool, is_inference: bool) -> T:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)  # applies to the calling thread only
    try:
        with torch.inference_mode(is_inference), torch.set_grad_enabled(is_grad_enabled):
            return work()
    except BaseException:
        handover.stop()
        raise


@contextmanager
def as_one_lane() -> Iterator[None]:
    """
    Give a block the threads of one lane, for work with many small products.

    Threads that share a product wait for each other, and if another program keeps a core busy, for as long as that
    program has its turn: short answers to three rows then took 20 to 35 s on two threads.
    """
    with _threads_kept():
        torch.set_num_threads(max(1, torch.get_num_threads() // 2))
        yield


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
