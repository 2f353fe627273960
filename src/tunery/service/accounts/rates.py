"""
How often a guess may be wrong: so many in so many seconds for each account, counted in memory.

A try counts from its start, so that many at once are not more than one after the other. Knows a clock, nothing else.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunery.errors import ResourceExhausted

_MANY_KEYS = 10_000  # names that were guessed at before old ones are forgotten


class Rate:
    """At most `limit` failed tries in `seconds` for each name; `clock` gives seconds that never go back."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._tries: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """
        Count a try for a name; it is taken back unless the block raises.

        Raises ResourceExhausted, before the block, if the name had too many failed tries.
        """
        started = self._begin(name)
        yield
        self._take_back(name, started)

    def _begin(self, name: str) -> float:
        with self._lock:
            now = self._clock()
            tries = self._recent(name, now)
            if len(tries) >= self._limit:
                wait = tries[0] + self._seconds - now
                raise ResourceExhausted(f"Too many wrong tries. Wait {max(1, round(wait))} seconds and try again.")
            tries.append(now)
            return now

    def _take_back(self, name: str, started: float) -> None:
        with self._lock:
            tries = self._tries.get(name)
            if tries and started in tries:
                tries.remove(started)

    def _recent(self, name: str, now: float) -> deque[float]:
        if len(self._tries) > _MANY_KEYS:
            self._tries = {
                key: tries for key, tries in self._tries.items() if tries and tries[-1] > now - self._seconds
            }
        tries = self._tries.setdefault(name, deque())
        while tries and tries[0] <= now - self._seconds:
            tries.popleft()
        return tries
