"""
Limited resources of a server, and the share of them that one caller may use.

Long work has a limited number of places: a few callers are served, some wait in line, and all others are refused
immediately, so that nobody can occupy the threads that everybody needs.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery.errors import ResourceExhausted
from tunery.types import Caller

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

REFUSALS_PER_SECOND, REFUSALS_AT_ONCE = 125.0, 500  # from one caller; five times what two cores can answer
UNKNOWN_PER_SECOND, UNKNOWN_AT_ONCE = 25.0, 200  # from all unknown callers at one address
PROBES = frozenset({"/healthz", "/readyz"})  # never wait, since a server that is slow to answer is taken for dead
BODY_BYTES = 64 * 1024  # of a refused body; each further part counts as one more refusal
# for which a refusal is repeated, even if there is room again, unless an answer ends: Retry-After is fifty times that
REPEAT_SECONDS = 0.1
CROWDED_SECONDS = 1.0  # after a refusal, during which only one call in REPEAT_SECONDS is checked
# Requests of one caller that begin at a time: everything that is ready at once is handled before anybody else's next
# step. Long requests give their place back, so that there may be more of them.
FRONT_PLACES, FRONT_SECONDS = 4, 0.05
_MANY_CALLERS = 10_000
_KEY = re.compile(rb"(?:^|&)key=([^&]*)")


@dataclass(eq=False, slots=True)
class _Waiting:
    name: str
    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[None]
    has_place: bool = False


class Places:
    """
    `size` places for one kind of work, and a line of `line` callers; one caller takes at most half of either.

    `work` describes it in the refusal, such as "files are being read". Free places go to the caller who holds the
    fewest, then to the one who came first.
    """

    def __init__(self, work: str, size: int, line: int) -> None:
        self._work, self._size, self._line = work, size, line
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()  # because tests run several event loops

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
        """Run `work` in its own thread and return its result; raises the errors of `place`."""
        async with self.place(name):
            return await in_own_thread(work)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is waiting for a place."""
        return bool(self._waiting)

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
                self._held += Counter()  # drops callers who hold none
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
    """At most `limit` requests from each caller per minute; `clock` returns seconds that never go back."""

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


class Refusals:
    """
    Decides when a caller's next request is handled: immediately, until the caller has been refused too often.

    On average `per_second` refusals are answered, up to `burst` of them at once; `clock` returns seconds that never go
    back.
    """

    def __init__(
        self,
        per_second: float = REFUSALS_PER_SECOND,
        burst: int = REFUSALS_AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause, self._saved, self._clock = 1 / per_second, burst / per_second, clock
        self._next: OrderedDict[str, float] = OrderedDict()  # when the next request of each caller is handled

    def wait(self, caller: str) -> float:
        """
        Return the seconds that a new request of a caller has to wait; the one after it waits for this time as well.
        """
        now, next_time = self._clock(), self._next.get(caller, 0.0)
        if next_time <= now:
            return 0.0
        self._next[caller] = next_time + self._pause
        return next_time - now

    def count(self, caller: str, times: int = 1) -> None:
        """Count refusals of a caller, for whom the next requests wait accordingly."""
        self._next[caller] = max(self._next.get(caller, 0.0), self._clock() - self._saved) + times * self._pause
        self._next.move_to_end(caller)
        if len(self._next) > _MANY_CALLERS:
            self._next.popitem(last=False)


@dataclass(slots=True)
class _Reply:
    """The status of a reply and the length of what it answers, and what is needed to send it again if it is 429."""

    status: int = 0
    body_bytes: int = 0
    messages: list[Message] = field(default_factory=list)
    refused_at: float = 0.0
    _until: float = 0.0

    def forget(self) -> None:
        """Have the next call checked."""
        self._until = 0.0

    def is_repeated(self) -> bool:
        """Return whether to send the reply again; from time to time, one call checks whether it is still right."""
        if time.monotonic() < self._until:
            return True
        self._until = time.monotonic() + REPEAT_SECONDS
        return False

    def counting(self, receive: Receive) -> Receive:
        """Return a `receive` that counts the bytes of the body."""

        async def receive_counted() -> Message:
            message = await receive()
            self.body_bytes += len(message.get("body", b""))
            return message

        return receive_counted

    def noting(self, send: Send) -> Send:
        """Return a `send` that records the reply."""

        async def send_noted(message: Message) -> None:
            self.status = message.get("status", self.status)
            if self.status == HTTPStatus.TOO_MANY_REQUESTS:
                self.refused_at = time.monotonic()
                self._until = self.refused_at + REPEAT_SECONDS
                self.messages.append(_copied(message))
            await send(message)

        return send_noted

    async def send_again(self, send: Send) -> None:
        for message in self.messages:
            await send(_copied(message))


def _copied(message: Message) -> Message:
    """Return a message with its own copy of the headers, because the outer middlewares add theirs to the list."""
    return {**message, "headers": list(message["headers"])} if "headers" in message else message


class Slowdown:
    """
    The ASGI middleware that keeps refusals cheap, since refusing takes CPU time too.

    After a call has been refused with status 429, one such call in REPEAT_SECONDS is checked, and the others
    immediately get the same reply; a caller who is refused again and again has to wait. Callers are identified by
    credentials that were valid before, all others by their address. Of a known caller, FRONT_PLACES requests begin at
    a time, for at most FRONT_SECONDS each.
    """

    def __init__(self, app: ASGIApp, known: Refusals | None = None, unknown: Refusals | None = None) -> None:
        self._app = app
        self._known, self._unknown = known or Refusals(), unknown or Refusals(UNKNOWN_PER_SECOND, UNKNOWN_AT_ONCE)
        self._good: OrderedDict[str, None] = OrderedDict()  # digests of credentials
        self._replies: OrderedDict[tuple[str, str, str], _Reply] = OrderedDict()  # by caller, method and path
        self._fronts: OrderedDict[str, asyncio.Semaphore] = OrderedDict()  # by caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, now or later, or repeat the reply to the previous one."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        credentials = _digest_of_credentials(scope)
        is_good = credentials in self._good
        caller = credentials if is_good else f"address {(scope.get('client') or ('unknown',))[0]}"
        refusals = self._known if is_good else self._unknown
        wait = refusals.wait(caller)
        if wait:
            await asyncio.sleep(wait)
        call = (caller, scope["method"], scope["path"])
        last, reply = self._replies.get(call), _Reply()
        if last is not None and last.is_repeated():
            reply = last
            await reply.send_again(send)
        else:
            async with self._front(caller) if is_good else nullcontext():
                await self._app(scope, reply.counting(receive), reply.noting(send))
            if reply.messages:
                _remember(self._replies, call, reply)
            elif (known := self._replies.get(call)) is not None:
                if reply.status == HTTPStatus.OK:
                    known.forget()  # what was accepted has ended, so there is room for the next one
                if time.monotonic() > known.refused_at + CROWDED_SECONDS:
                    self._replies.pop(call, None)
            if not is_good and _is_known(scope):
                _remember(self._good, credentials, None)
        if 400 <= reply.status < 500:  # one that has waited was counted as one
            refusals.count(caller, (0 if wait else 1) + reply.body_bytes // BODY_BYTES)

    @asynccontextmanager
    async def _front(self, caller: str) -> AsyncIterator[None]:
        """Hold one of the caller's front places until the end of the block, but no longer than FRONT_SECONDS."""
        loop, front = asyncio.get_running_loop(), self._fronts.get(caller) or asyncio.Semaphore(FRONT_PLACES)
        _remember(self._fronts, caller, front)
        await front.acquire()
        giving_back = loop.call_later(FRONT_SECONDS, front.release)
        try:
            yield
        finally:
            if giving_back.when() > loop.time():
                giving_back.cancel()
                front.release()


def _remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _MANY_CALLERS:
        known.popitem(last=False)


def _digest_of_credentials(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name in (b"authorization", b"x-goog-api-key", b"cookie")]
    return hashlib.blake2b(b"\0".join(given + _KEY.findall(scope["query_string"])), digest_size=16).hexdigest()


def _is_known(scope: Scope) -> bool:
    caller: Caller | None = scope.get("state", {}).get("caller")
    return caller is not None and (caller.user_id is not None or caller.has_key)


def _begin(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


async def in_own_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that is not one of those shared by all requests, and return its result."""
    return await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))
