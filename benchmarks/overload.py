"""
Far more short questions than a server can answer: the rest is refused at once, the accepted are answered as before.

    python -m benchmarks.overload --seconds 60    # five minutes; each figure is a line of JSON in results/load.jsonl

Questions of two users arrive at a steady rate whatever becomes of those before, each on a connection of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import psutil

from benchmarks.load import ASK, SHORT, Load, served, write
from benchmarks.load_clients import Calls, Connection, once, p95, quantile, repeat, request_of, rounded
from tests.chaos.flood import key_of
from tests.chaos.served import Served, children, of_living

CLIENTS_AT_PEAK = 32  # twice as many as are decoded together
RECOVERY_SECONDS = 5.0
NORMAL_ANSWERS = 20
SAMPLE_SECONDS = 0.5


class Overload:
    """A server, its peak in answers a second, and what becomes of it at a multiple of that."""

    def __init__(self, server: Served, seconds: float) -> None:
        self._server, self._load, self._seconds = server, Load(server), seconds
        self._users = [key_of(server, name) for name in ("ann", "bob")]

    def peak(self) -> float:
        """Return the answers a second with as many clients as the server can take, each asking again at once."""
        calls = Calls()
        users, begin = cycle(self._users), time.perf_counter()
        connections = [Connection(self._server.port, next(users)) for _ in range(CLIENTS_AT_PEAK)]
        self._load.run(
            lambda is_over: [repeat(one, calls, is_over, 0, "POST", ASK, SHORT) for one in connections], self._seconds
        )
        return calls.statuses[200] / (time.perf_counter() - begin)

    def at(self, multiple: int) -> dict[str, Any]:
        """Ask at a multiple of the peak, measured just before; then, after a pause, one question at a time."""
        before, after, calls = Calls(), Calls(), Calls()
        peak = self.peak()
        self._load.answers(before, NORMAL_ANSWERS)
        with _memory_watched(self._server) as memory:
            in_time = asyncio.run(self._asked_steadily(calls, multiple * peak, after))
        return {
            "times the peak": multiple, "peak answers/s": rounded(peak), "asked for/s": rounded(multiple * peak),
            "goodput/peak": round(in_time / self._seconds / peak, 2), "calls": calls.summary(),
            "refused after, p99 ms": rounded(quantile(calls.refused_after, 0.99)),
            "memory, MB at first and most": [round(memory[0]), round(max(memory))],
            "p95 ms before": rounded(p95(before.milliseconds)),
            f"p95 ms from {RECOVERY_SECONDS:.0f} s after": rounded(p95(after.milliseconds)),
        }  # fmt: skip

    async def _asked_steadily(self, calls: Calls, rate: float, after: Calls) -> int:
        """Ask at a rate, then as usual; return how many were answered before the rate fell."""
        requests = cycle([request_of(user, "POST", ASK, SHORT) for user in self._users])
        begin, asked = time.perf_counter(), []
        while (now := time.perf_counter() - begin) < self._seconds:
            while len(asked) < now * rate:
                asked.append(asyncio.ensure_future(once(self._server.port, next(requests), calls)))
            await asyncio.sleep(0.005)
        in_time = calls.statuses[200]
        await asyncio.sleep(RECOVERY_SECONDS)
        await asyncio.to_thread(self._load.answers, after, NORMAL_ANSWERS)
        await asyncio.gather(*asked)
        return in_time


@contextmanager
def _memory_watched(server: Served) -> Iterator[list[float]]:
    """Give the MB of the server and its children, sampled until the block ends."""
    samples, is_over = [_megabytes(server)], threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_SECONDS):
            samples.append(_megabytes(server))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        is_over.set()
        thread.join()


def _megabytes(server: Served) -> float:
    processes = [psutil.Process(server.pid), *children(server.pid)]
    return sum(of_living(processes, lambda process: process.memory_info().rss / 1e6))


def main() -> None:
    """Measure with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--multiples", type=int, nargs="*", default=[2, 5, 10])
    asked = parser.parse_args()
    with served("--keys-may-tune") as server:
        overload = Overload(server, asked.seconds)
        overload.peak()  # the first answers of a server take memory that stays
        for multiple in asked.multiples:
            write("overload", overload.at(multiple))


if __name__ == "__main__":
    main()
