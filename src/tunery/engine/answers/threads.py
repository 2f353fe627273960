"""
How many threads a decoding step uses: all or one, whichever was faster when last tried.

A step is hundreds of products of some ten microseconds; with a core taken by another program each of them waits for the
thread that does not run, and two threads do 2 tokens a second where one does 80. Knows clocks; nothing of what a step
computes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

FIRST_PAUSE_STEPS, LONGEST_PAUSE_STEPS = 32, 1024  # between trials; each that changes nothing doubles it
GAIN = 0.9  # the other number must take less than this share of the time


class ThreadChoice:
    """
    Wrap each step in `step(rows)`.

    Now and then one step is tried with the other number of threads and compared with the step before it, if that had as
    many rows.
    """

    def __init__(self) -> None:
        self.is_single = False
        self._pause, self._left = FIRST_PAUSE_STEPS, 1  # the first step warms up; the second is compared with the third
        self._last: tuple[int, float] = (0, 0.0)  # rows and seconds of the step before

    @contextmanager
    def step(self, rows: int) -> Iterator[None]:
        threads = torch.get_num_threads()
        is_trial = threads > 1 and self._left < 0 and self._last[0] == rows
        single = self.is_single != is_trial
        if single and threads > 1:
            torch.set_num_threads(1)
        start = time.perf_counter()
        try:
            yield
        finally:
            if single and threads > 1:
                torch.set_num_threads(threads)
        self._learn(rows, time.perf_counter() - start, is_trial)

    def _learn(self, rows: int, seconds: float, is_trial: bool) -> None:
        self._left -= 1
        if is_trial:
            if seconds < GAIN * self._last[1]:
                self.is_single, self._pause = not self.is_single, FIRST_PAUSE_STEPS
            else:
                self._pause = min(2 * self._pause, LONGEST_PAUSE_STEPS)
            self._left = self._pause
            rows = 0  # the next step is not compared with this one
        self._last = rows, seconds
