"""
How many threads a decoding step uses: all or one, whichever was faster when last tried.

A step is hundreds of products of some ten microseconds; with a core taken by another program each of them waits for the
thread that does not run, and a step of 20 ms has taken 5 seconds. So a step that takes far longer than such steps use
to goes on with one thread, and one that is somewhat slow has the other number tried next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch

GAIN = 0.9  # the other number must take less than this share of the time
TOO_LONG = 2.5  # a step on all threads goes on with one when it has taken so many times what is usual so far
HEAD_START, HICCUP_SECONDS = 0.1, 0.004  # share of a step and time that are forgiven, so that the first layers may vary
LONGEST_SECONDS = 0.5  # the same, where nothing is known yet
SLOWER = 1.4  # a trial at once when steps take so many times their best
NEWEST = 0.3  # weight of the newest step in what is usual: one that takes 2.4 times as long is enough for a trial
SHORTEST_PAUSE_SECONDS = 0.1  # between trials
LONGEST_PAUSE_SECONDS = 2.0  # between trials without a cause; each that changes nothing doubles the pause
TRIAL_SHARE = 0.05  # of the time, at most, is lost by trials: one thread too many can cost half a second


class ThreadChoice:
    """
    Wrap each step in `step(kind)` and call `watch` within it, always as often and at even distances; steps of one kind
    take equally long.

    Now and then, and when steps have become slow, one step is tried with the other number of threads.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.is_single = False
        self._clock = clock
        self._known: set[Hashable] = set()  # the first step of a kind makes its buffers and programs
        self._usual: dict[Hashable, float] = {}  # seconds of a step, by kind, since the last change
        self._best: dict[Hashable, float] = {}
        self._is_slow = False
        self._is_watched, self._start = False, 0.0
        self._calls, self._calls_of_step = 0, 1  # of `watch`: in this step so far, in a whole one
        self._patience: float | None = None  # seconds that this step may take
        self._pause = SHORTEST_PAUSE_SECONDS
        self._soonest = self._next = 0.0  # when the next trial may be, and when it is due without a cause

    @contextmanager
    def step(self, kind: Hashable) -> Iterator[None]:
        threads, start = torch.get_num_threads(), self._clock()
        is_trial = threads > 1 and kind in self._usual and start >= (self._soonest if self._is_slow else self._next)
        single = self.is_single != is_trial or threads == 1
        self._is_watched, self._start, self._calls = not single, start, 0
        self._patience = None if kind not in self._usual else self._usual[kind] * (1 if is_trial else TOO_LONG)
        if single and threads > 1:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            is_cut = not single and not self._is_watched
            if (single or is_cut) and threads > 1:
                torch.set_num_threads(threads)
        self._close(kind, start, self._clock(), is_trial, is_cut)

    def watch(self) -> None:
        """Go on with one thread if this step takes too long for how far it has come."""
        self._calls += 1
        if not self._is_watched:
            return
        allowed = LONGEST_SECONDS
        if self._patience is not None:
            allowed = HICCUP_SECONDS + self._patience * (HEAD_START + self._calls / self._calls_of_step)
        if self._clock() - self._start > allowed:
            torch.set_num_threads(1)
            self._is_watched = False

    def _close(self, kind: Hashable, start: float, end: float, is_trial: bool, is_cut: bool) -> None:
        self._calls_of_step = max(self._calls, 1)
        if is_trial:
            self._compare(kind, end - start)
        elif is_cut:
            self._known.add(kind)
            self._change({})
        else:
            self._learn(kind, end - start)
        if is_trial or is_cut:
            self._soonest, self._next = end + SHORTEST_PAUSE_SECONDS, end + self._pause

    def _change(self, known: dict[Hashable, float]) -> None:
        self.is_single, self._is_slow, self._pause = not self.is_single, False, SHORTEST_PAUSE_SECONDS
        self._usual, self._best = dict(known), dict(known)

    def _compare(self, kind: Hashable, seconds: float) -> None:
        usual, self._is_slow = self._usual[kind], False
        if seconds < GAIN * usual:
            self._change({kind: seconds})
        else:
            self._pause = min(max(2 * self._pause, (seconds - usual) / TRIAL_SHARE), LONGEST_PAUSE_SECONDS)
            self._best = dict(self._usual)  # slow as it is, this is the best there is

    def _learn(self, kind: Hashable, seconds: float) -> None:
        if kind not in self._known:
            self._known.add(kind)
            return
        usual = self._usual.get(kind, seconds)
        self._usual[kind] = usual + NEWEST * (seconds - usual)
        self._best[kind] = min(self._best.get(kind, seconds), self._usual[kind])
        if self._usual[kind] > SLOWER * self._best[kind]:
            self._is_slow = True
