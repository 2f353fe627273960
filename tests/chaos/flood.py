"""
Floods by one user, or by nobody: what they leave of health, of another user's answer and of memory.

    python -m tests.chaos.flood --base smollm2-135m-instruct --bases FOLDER    # 60 connections, 60 s each; a table

Each flood keeps its connections busy, as fast as the server lets them, from a process of the lowest priority: an
attacker's own work is done on another machine. Meanwhile `/healthz` is asked, and another user asks a short question
again and again. Only a server that the script has started, on loopback, is flooded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import psutil

from tests.chaos.served import REAL, Served, children, of_living
from tests.chaos.template import in_a_home_with, in_a_new_home
from tunery.config import data_folder

CONNECTIONS, SECONDS = 60, 60.0
MAX_HEALTH_SECONDS, MAX_SLOWDOWN, MAX_MEMORY_BYTES = 1.0, 3.0, 500 << 20
GIVE_UP_SECONDS = 300.0
PAUSE_SECONDS = 0.25  # between two questions of those who measure
BODY_BYTES = 4 << 20

Headers = dict[str, str]
Reply = tuple[int, bytes]


@dataclass
class Findings:
    """What one flood did."""

    statuses: Counter[str] = field(default_factory=Counter)
    health: list[float] = field(default_factory=list)  # seconds
    answers: list[float] = field(default_factory=list)
    refusals: int = 0  # of the other user's questions
    memory: int = 0  # bytes afterwards, above those before
    peak: int = 0  # bytes meanwhile, above those before

    def holds(self, idle: float) -> bool:
        """Return whether the flood left what it must leave."""
        slowest = max(self.answers, default=float("inf"))
        is_answered = not self.refusals and median(self.answers or [slowest]) <= MAX_SLOWDOWN * idle
        return max(self.health) < MAX_HEALTH_SECONDS and is_answered and self.memory <= MAX_MEMORY_BYTES


@dataclass(frozen=True)
class Target:
    """A running server with two users and the base that they ask."""

    port: int
    base: str
    mallory: Headers
    ann: Headers

    def question(self, tokens: int, **config: object) -> bytes:
        settings = {"maxOutputTokens": tokens, **config}
        contents = [{"parts": [{"text": "Name a colour."}]}]
        return json.dumps({"contents": contents, "generationConfig": settings}).encode()

    async def ask(self, headers: Headers, tokens: int, **config: object) -> int:
        path = f"/v1beta/models/{self.base}:generateContent"
        return (await asked(self.port, "POST", path, headers, self.question(tokens, **config)))[0]


Attack = Callable[[Target], Awaitable[int]]


async def bodies_of_nobody(target: Target) -> int:
    """Create with a hostile body, without credentials."""
    return (await asked(target.port, "POST", "/v1beta/tunedModels", {}, _hostile_body()))[0]


async def bodies(target: Target) -> int:
    """Create with a hostile body."""
    return (await asked(target.port, "POST", "/v1beta/tunedModels", target.mallory, _hostile_body()))[0]


async def sign_ins(target: Target) -> int:
    """Sign in with a name that is not known."""
    body = json.dumps({"user": f"{time.monotonic_ns()}@example.com", "password": "x" * 1000}).encode()
    return (await asked(target.port, "POST", "/signin", {"Content-Type": "application/json"}, body))[0]


async def parses(target: Target) -> int:
    """Have a table of 4 MB parsed."""
    path = "/v1beta/datasets:parse?fileName=a.csv"
    return (await asked(target.port, "POST", path, target.mallory, _table()))[0]


async def counts(target: Target) -> int:
    """Count the tokens of a long prompt."""
    body = json.dumps({"contents": [{"parts": [{"text": "lorem ipsum " * 1500}]}]}).encode()
    path = f"/v1beta/models/{target.base}:countTokens"
    return (await asked(target.port, "POST", path, target.mallory, body))[0]


async def labels(target: Target) -> int:
    """Ask for one of a hundred labels."""
    schema = {"type": "STRING", "enum": [f"label number {number}" for number in range(100)]}
    return await target.ask(target.mallory, 20, responseMimeType="text/x.enum", responseSchema=schema)


async def candidates(target: Target) -> int:
    """Ask for eight long answers."""
    return await target.ask(target.mallory, 1000, candidateCount=8, temperature=1)


async def half_requests(target: Target) -> int:
    """Send half of a request, and wait until the server has had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        writer.write(b"POST /v1beta/tunedModels HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ")
        await writer.drain()
        return 0 if await reader.read(1) == b"" else 1
    except OSError:  # the server ended it
        return 0
    finally:
        writer.close()


FLOODS: dict[str, Attack] = {
    "bodies, no credentials": bodies_of_nobody,
    "bodies": bodies,
    "sign-ins, no credentials": sign_ins,
    "parses": parses,
    "counts": counts,
    "labels": labels,
    "candidates": candidates,
    "half requests, no credentials": half_requests,
}


async def asked(port: int, method: str, path: str, headers: Headers, body: bytes = b"") -> Reply:
    """Return status and body of the reply to one request on a new connection; 0 if there is none."""
    given = {"Host": "127.0.0.1", "Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0, b""
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        reply = await asyncio.wait_for(reader.read(), GIVE_UP_SECONDS)
    except (OSError, TimeoutError):
        return 0, b""
    finally:
        writer.close()
    head, _, content = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head.startswith(b"HTTP/") else 0, content


async def idle_answer(target: Target, times: int = 7) -> float:
    """Return the median seconds of a short answer while nothing else is asked."""
    return median([await _timed(target.ask(target.ann, 4)) for _ in range(times)])


def flooded(target: Target, pid: int, names: Sequence[str], connections: int, seconds: float) -> Findings:
    """Return what a flood of these kinds did."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_lower_priority) as attackers:
        attackers.submit(_lower_priority).result()  # it has started
        flood = attackers.submit(attack, target, names, connections, seconds)
        found = asyncio.run(_measured(target, pid, seconds))
        found.statuses = flood.result()
    return found


def attack(target: Target, names: Sequence[str], connections: int, seconds: float) -> Counter[str]:
    """Flood a server, and return how often it gave which status."""
    statuses, end = Counter[str](), time.monotonic() + seconds

    async def attacker(number: int) -> None:
        while time.monotonic() < end or not statuses:
            statuses[str(await FLOODS[names[number % len(names)]](target))] += 1

    async def all_at_once() -> None:
        attackers = [asyncio.create_task(attacker(number)) for number in range(connections)]
        await asyncio.sleep(seconds)
        while not statuses and time.monotonic() < end + GIVE_UP_SECONDS:  # a machine where nothing is done in this time
            await asyncio.sleep(PAUSE_SECONDS)
        for task in attackers:
            task.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)

    asyncio.run(all_at_once())
    return statuses


def _lower_priority() -> None:
    if hasattr(os, "nice"):
        os.nice(19)


async def _measured(target: Target, pid: int, seconds: float) -> Findings:
    found, end = Findings(), time.monotonic() + seconds
    before = memory_of(pid)

    async def other_user() -> None:
        while time.monotonic() < end:
            begin = time.monotonic()
            if await target.ask(target.ann, 4) == 200:
                found.answers.append(time.monotonic() - begin)
            else:
                found.refusals += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async with _watched(target, pid, before, found):
        await other_user()
    await asyncio.sleep(min(10.0, seconds / 6))
    found.memory = memory_of(pid) - before
    return found


@asynccontextmanager
async def _watched(target: Target, pid: int, before: int, found: Findings) -> AsyncIterator[None]:
    """Ask for health and look at the memory while the block runs."""

    async def watch() -> None:
        while True:
            found.health.append(await _timed(asked(target.port, "GET", "/healthz", {})))
            found.peak = max(found.peak, memory_of(pid) - before)
            await asyncio.sleep(PAUSE_SECONDS)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def memory_of(pid: int) -> int:
    """Return the memory of a server and its children that is theirs alone, in bytes."""
    processes = [psutil.Process(pid), *children(pid)]
    return sum(of_living(processes, lambda process: int(process.memory_full_info().uss)))


async def _timed(work: Awaitable[object]) -> float:
    begin = time.monotonic()
    await work
    return time.monotonic() - begin


@cache
def _hostile_body() -> bytes:
    items = b"[" + b"1," * (BODY_BYTES // 2 - 100) + b"1]"
    return b'{"tuningTask":{"trainingData":{"examples":{"examples":' + items + b"}}}}"


@cache
def _table() -> bytes:
    return b"text_input,output\n" + b"".join(b"input %d,output %d\n" % (row, row) for row in range(90_000))


def target_of(server: Served, base: str) -> Target:
    """Return a server as a target, with two users of its own."""
    return Target(server.port, base, *(key_of(server, name) for name in ("mallory", "ann")))


def key_of(server: Served, name: str) -> Headers:
    """Add a user with an API key that acts for nobody else, and return the headers that show it."""
    user = f"{name}@example.com"
    server.ask("POST", "accounts/users", {"id": user})
    status, key = server.ask("POST", "accounts/keys", {"label": name, "user": user})
    assert status == 200, key
    return {"x-goog-api-key": key["secret"]}


def floods(server: Served, base: str, names: Sequence[str], connections: int, seconds: float) -> bool:
    """Flood a server in each way, print a line for each, and return whether all held."""
    target = target_of(server, base)
    asyncio.run(target.ask(target.ann, 4))  # the base is loaded
    print(  # noqa: T201
        f"{'flood':32}{'answers':>9}{'idle':>7}{'slowest':>9}{'health':>8}{'memory':>8}{'peak':>7}  statuses"
    )
    holds = True
    for name in names:
        idle = asyncio.run(idle_answer(target))
        found = flooded(target, server.pid, [name], connections, seconds)
        holds = holds and found.holds(idle)
        answers = found.answers or [float("inf")]
        mark = "" if found.holds(idle) else "  FAILED"
        print(  # noqa: T201
            f"{name:32}{median(answers) / idle:8.2f}x{idle:6.2f}s{max(answers):8.2f}s{max(found.health):7.2f}s"
            f"{found.memory >> 20:6} MB{found.peak >> 20:4} MB  {dict(found.statuses)}{mark}",
            flush=True,
        )
    return holds


@contextmanager
def serving(base: str = "tiny", bases: Path | None = None) -> Iterator[Served]:
    """Yield a new server as users start it, whose API keys act as their users."""
    in_home = in_a_new_home() if bases is None else in_a_home_with(bases)
    with in_home as home, Served(home, *REAL, "--keys-may-tune", environment={"TUNERY_BASE": base}) as server:
        try:
            yield server
        finally:
            server.kill_group()  # what it was asked for would take some time to end


def main() -> None:
    """Flood a new server and print the table; the exit status is 1 if a figure is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--bases", type=Path, default=data_folder() / "bases", help="folder that has the base")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--only", nargs="*", choices=list(FLOODS), default=list(FLOODS))
    wanted = parser.parse_args()
    with serving(wanted.base, None if wanted.base == "tiny" else wanted.bases) as server:
        holds = floods(server, wanted.base, wanted.only, wanted.connections, wanted.seconds)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
