"""
Bounded resources of a server, and the share that one caller may take of them.

Long work has a limited number of places: a few callers are served, some wait in line, and all others are refused at
once, so that nobody's work fills the threads that everybody needs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.to_thread

from tunery.errors import ResourceExhausted

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Waiting:
    name: str
    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[None]
    has_place: bool = False


class Places:
    """
    `size` places for one kind of work, and a line of `line` callers; one caller takes at most half of either.

    `work` names it in the refusal, such as "files are being read". Free places go to the caller who holds the fewest,
    then to the one who came first.
    """

    def __init__(self, work: str, size: int, line: int) -> None:
        self._work, self._size, self._line = work, size, line
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()  # tests run several event loops

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """Hold a place within the block, after waiting for it; raises ResourceExhausted if too many wait."""
        waiting = self._enter(name)
        try:
            await waiting.turn
            yield
        finally:
            self._leave(waiting)

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Return what `work` returns, which runs in a thread of its own; raises as `place` does."""
        async with self.place(name):
            return await in_own_thread(work)

    def held(self, name: str) -> int:
        """Return how many places a caller holds."""
        return self._held[name]

    def _enter(self, name: str) -> _Waiting:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(name, loop, loop.create_future())
        with self._lock:
            mine = sum(known.name == name for known in self._waiting)
            if not self._may_hold(name) and (len(self._waiting) >= self._line or mine >= max(1, self._line // 2)):
                raise ResourceExhausted(f"Too many {self._work} at the moment. Try again in a few seconds.")
            self._waiting.append(waiting)
            self._hand_out()
        return waiting

    def _leave(self, waiting: _Waiting) -> None:
        with self._lock:
            if waiting.has_place:
                self._held[waiting.name] -= 1
                self._held += Counter()  # drops those who hold none
            else:
                self._waiting.remove(waiting)
            self._hand_out()

    def _hand_out(self) -> None:
        while ready := [waiting for waiting in self._waiting if self._may_hold(waiting.name)]:
            chosen = min(ready, key=lambda waiting: self._held[waiting.name])
            self._waiting.remove(chosen)
            self._held[chosen.name] += 1
            chosen.has_place = True
            with suppress(RuntimeError):  # its loop has ended, and `_leave` was called or will be
                chosen.loop.call_soon_threadsafe(_begin, chosen.turn)

    def _may_hold(self, name: str) -> bool:
        return self._held.total() < self._size and self._held[name] < max(1, self._size // 2)


class Allowance:
    """At most `limit` requests of each caller in a minute; `clock` returns seconds that never go back."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self._clock = limit, clock
        self._minute = 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        """Count a request of a caller; raises ResourceExhausted if there were too many in this minute."""
        with self._lock:
            minute = int(self._clock() // 60)
            if minute != self._minute:
                self._minute, self._counts = minute, Counter()
            self._counts[name] += 1
            if self._counts[name] > self.limit:
                raise ResourceExhausted(f"The limit is {self.limit:,} requests in a minute. Try again in the next one.")


def _begin(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


async def in_own_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns, run in a thread that is not one of those all requests share."""
    return await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))
