"""Places for long work: who gets one, who waits, who is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from tests.server.api import BASE, OWNER, Api, Called, called
from tunery.data.dataset import Dataset, preview
from tunery.errors import DeadlineExceeded, ResourceExhausted
from tunery.server import datasets, exports, security, shares
from tunery.server.shares import BODY_BYTES, FRONT_PLACES, REPEAT_SECONDS, Allowance, Places, Refusals, Slowdown
from tunery.service.accounts import users
from tunery.types import Caller


class Stage:
    """Callers who ask for places and hold them until they are told to leave."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.order: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def enter(self, caller: str, number: int = 0) -> str:
        key = f"{caller}{number}"
        self._leave[key] = asyncio.Event()

        async def hold() -> None:
            async with self._places.place(caller):
                self.order.append(key)
                await self._leave[key].wait()

        self.tasks[key] = asyncio.create_task(hold())
        await settle()
        return key

    async def leave(self, key: str) -> None:
        self._leave[key].set()
        await settle()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def staged(size: int, line: int, play: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        stage = Stage(Places("files are being read", size, line))
        try:
            await play(stage)
        finally:
            await stage.end()

    asyncio.run(run())


def test_one_caller_gets_half_of_the_places() -> None:
    """The other half is free for others, at once."""

    async def play(stage: Stage) -> None:
        for number in range(4):
            await stage.enter("ann", number)
        assert stage.order == ["ann0", "ann1"]
        await stage.enter("bob")
        assert stage.order == ["ann0", "ann1", "bob0"]

    staged(4, 8, play)


def test_the_line_is_bounded_for_one_caller_and_for_all() -> None:
    """Whoever finds it full is refused at once; half of it is the most that one caller fills."""

    async def play(stage: Stage) -> None:
        for number in range(4):
            await stage.enter("ann", number)  # one place, two in line, one refused
        with pytest.raises(ResourceExhausted, match="Too many files are being read at the moment"):
            await stage.tasks["ann3"]
        for number in range(3):
            await stage.enter("bob", number)
        await stage.enter("cid")
        with pytest.raises(ResourceExhausted):
            await stage.tasks["cid0"]
        assert stage.order == ["ann0", "bob0"]

    staged(2, 4, play)


def test_who_holds_least_is_next() -> None:
    """A free place goes to the caller without one, however long another has waited for a second."""

    async def play(stage: Stage) -> None:
        for number in range(4):
            await stage.enter("ann", number)
        for caller in ("bob", "cid"):
            await stage.enter(caller)
        assert stage.order == ["ann0", "ann1", "bob0", "cid0"]
        await stage.enter("dan")
        await stage.leave("ann0")
        assert stage.order[-1] == "dan0"

    staged(4, 8, play)


def test_who_leaves_the_line_takes_no_place() -> None:
    """A client that has gone while it waited frees its place in line."""

    async def play(stage: Stage) -> None:
        await stage.enter("ann")
        await stage.enter("ann", 1)
        stage.tasks["ann1"].cancel()
        await settle()
        await stage.leave("ann0")
        await stage.enter("ann", 2)
        assert stage.order == ["ann0", "ann2"]

    staged(2, 2, play)


def test_requests_in_a_minute_are_counted_by_caller() -> None:
    """The limit is each caller's own, and begins again with each minute."""
    now = 60.0
    allowance = Allowance(2, lambda: now)

    for name in ("ann", "ann", "bob"):
        allowance.count(name)
    with pytest.raises(ResourceExhausted, match=r"The limit is 2 requests in a minute\. Try again in the next one\."):
        allowance.count("ann")
    allowance.count("bob")
    now = 121.0
    allowance.count("ann")


def test_polls_are_not_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user over the limit is refused everywhere but at the operation that Google's client polls in a bare loop."""
    model = api.queued("numbers")
    monkeypatch.setattr(security, "REQUESTS", Allowance(1))

    statuses = [api.web.get(f"/v1beta/{path}").status_code for path in ("models", "models", model.operation_name)]

    assert statuses == [200, 429, 200]


def test_work_runs_in_a_thread_and_its_error_comes_back() -> None:
    """The place is free again afterwards."""
    places = Places("files are being read", 1, 1)

    async def run() -> None:
        with pytest.raises(ZeroDivisionError):
            await places.run("ann", lambda: 1 // 0)
        assert await places.run("ann", lambda: 7) == 7

    asyncio.run(run())


class Stuck:
    """Work that has begun and does not end before it is released."""

    def __init__(self, works: Callable[..., Any]) -> None:
        self._works, self.may_end = works, threading.Event()
        self.begun = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.begun += 1
        assert self.may_end.wait(60)
        return self._works(*arguments, **options)


async def flooded(
    api: Api, stuck: Stuck, flood: list[Awaitable[Called]], refused: int, others: list[Awaitable[Called]]
) -> tuple[list[Called], list[Called]]:
    """Return the replies to a flood, and to calls that begin once it is stuck and this many of it were refused."""
    flooding = [asyncio.ensure_future(one) for one in flood]
    try:
        while sum(task.done() for task in flooding) < refused:
            await asyncio.sleep(0.01)
        answered = [asyncio.ensure_future(one) for one in others]
        while stuck.begun < 1 + len(others):
            await asyncio.sleep(0.01)
        assert (await called(api.app, "GET", "/healthz")).status == 200
    finally:
        stuck.may_end.set()
    return await asyncio.gather(*flooding), await asyncio.gather(*answered)


def test_sign_ins_of_one_address_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixty at once nine are checked, one after the other; all others are refused at once, and health answers."""
    stuck = Stuck(users._matches)
    monkeypatch.setattr(users, "_matches", stuck)

    def attempt(number: int) -> Awaitable[Called]:
        body = json.dumps({"user": f"u{number}@example.com", "password": "x" * 12}).encode()
        return called(api.app, "POST", "/signin", {"content-type": "application/json"}, body)

    replies, _ = asyncio.run(flooded(api, stuck, [attempt(number) for number in range(60)], 51, []))

    refused = [reply for reply in replies if reply.status == 429]
    assert sorted({reply.status for reply in replies}) == [401, 429]
    assert (len(refused), stuck.begun) == (51, 9)
    assert {reply.headers["retry-after"] for reply in refused} == {"5"}


def test_parses_of_one_user_leave_a_place_to_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file is read and four wait; another user's file is read beside it."""
    stuck = Stuck(preview)
    monkeypatch.setattr(datasets, "preview_guarded", stuck)
    monkeypatch.setattr(datasets, "read_guarded", Dataset.read)
    owner = {"authorization": api.web.headers["authorization"]}
    other = {"authorization": api.client("other@example.com").headers["authorization"]}

    def parse(headers: dict[str, str]) -> Awaitable[Called]:
        return called(api.app, "POST", "/v1beta/datasets:parse?fileName=a.csv", headers, b"text_input,output\na,b\n")

    replies, others = asyncio.run(flooded(api, stuck, [parse(owner) for _ in range(45)], 40, [parse(other)]))

    assert sorted(reply.status for reply in replies) == [200] * 5 + [429] * 40
    assert [reply.status for reply in others] == [200]


@pytest.mark.parametrize("what", ["an estimate", "rendered rows"])
def test_rows_read_by_a_base_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """One request and four in line for each user; they do not fill the threads of the others."""
    stuck = Stuck(_no_rows)
    monkeypatch.setattr(api.services, "answering", SimpleNamespace(render_rows=stuck))
    monkeypatch.setattr(api.services, "estimates", SimpleNamespace(of=stuck), raising=False)
    api.active("numbers")
    owner = {"authorization": api.web.headers["authorization"]}
    rows = {"trainingData": {"examples": {"examples": [{"textInput": "1", "output": "2"}]}}}
    body = json.dumps({"displayName": "x", "baseModel": f"models/{BASE}", "tuningTask": rows}).encode()
    flood = {
        "an estimate": lambda: called(api.app, "POST", "/v1beta/tunedModels?validateOnly=true", owner, body),
        "rendered rows": lambda: called(api.app, "GET", "/v1beta/tunedModels/numbers/examples?rendered=true", owner),
    }[what]

    replies, _ = asyncio.run(flooded(api, stuck, [flood() for _ in range(45)], 40, []))

    assert sorted(reply.status for reply in replies) == [429] * 40 + [504] * 5
    assert stuck.begun == 5


def test_an_export_counts_until_it_was_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of one user are made or sent; a third is refused until one has been read to its end."""
    api.active("numbers")
    owner = {"authorization": api.web.headers["authorization"]}
    path = "/v1beta/tunedModels/numbers:export"

    async def run() -> list[int]:
        may_end = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"begun"
            await may_end.wait()

        monkeypatch.setattr(exports, "_exported", lambda *_: StreamingResponse(slowly()))
        sending = [asyncio.create_task(called(api.app, "GET", path, owner)) for _ in range(2)]
        while exports.EXPORTS.held(OWNER) < 2:
            await asyncio.sleep(0.01)
        refused = await called(api.app, "GET", path, owner)
        may_end.set()
        sent = await asyncio.gather(*sending)
        return [refused.status, *(reply.status for reply in sent), (await called(api.app, "GET", path, owner)).status]

    assert asyncio.run(run()) == [429, 200, 200, 200]


def _no_rows(*_: Any) -> Any:
    raise DeadlineExceeded


# refusals


def test_refusals_have_a_pace_and_a_burst() -> None:
    """As many as the burst are looked at once; then one in each hundredth of a second; others are not affected."""
    now = [1000.0]
    refusals = Refusals(per_second=100, burst=3, clock=lambda: now[0])
    for _ in range(3):
        assert refusals.wait("mallory") == 0
        refusals.count("mallory")
    assert refusals.wait("mallory") == 0
    refusals.count("mallory")

    assert [refusals.wait("mallory") for _ in range(3)] == pytest.approx([0.01, 0.02, 0.03])
    assert refusals.wait("ann") == 0
    now[0] += 0.04
    assert refusals.wait("mallory") == 0


def slowed(*requests: tuple[str, str], body_bytes: int = 0) -> list[float]:
    """Return the ms that requests wait which come with this token and lead to this status or user, in turn."""
    waits: list[float] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        outcome = scope["outcome"]
        await receive()
        if not outcome.isdecimal():
            scope["state"]["caller"] = Caller(user_id=outcome)
        await send({"type": "http.response.start", "status": int(outcome) if outcome.isdecimal() else 200})

    class Noted(Refusals):
        def wait(self, caller: str) -> float:
            waits.append(super().wait(caller))
            return waits[-1]

    async def nothing(*_: object) -> Any:
        return {"type": "http.request", "body": b"x" * body_bytes}

    async def play() -> None:
        pace = {"per_second": 1000.0, "burst": 1, "clock": lambda: 1000.0}
        slowdown = Slowdown(app, Noted(**pace), Noted(**pace))  # type: ignore[arg-type]
        for token, outcome in requests:
            headers = [(b"authorization", token.encode())]
            scope = {"type": "http", "method": "GET", "path": f"/{len(waits)}", "headers": headers}
            scope |= {"query_string": b"", "client": ("1.2.3.4", 5), "state": {}, "outcome": outcome}
            await slowdown(scope, nothing, nothing)

    asyncio.run(play())
    return [1000 * wait for wait in waits]


def test_who_is_refused_again_and_again_waits() -> None:
    """Bad tokens are counted by their address, so another one each time does not help; those who are known go on."""
    waits = slowed(("ann's", "ann"), ("a", "401"), ("b", "403"), ("c", "429"), ("d", "401"), ("ann's", "429"))

    assert waits == pytest.approx([0, 0, 0, 1, 2, 0])


def test_a_known_caller_who_floods_does_not_slow_the_others_of_the_address() -> None:
    """Each has a count of their own."""
    waits = slowed(
        ("m", "mallory"), ("a", "ann"), ("m", "429"), ("m", "429"), ("m", "429"), ("a", "ann"), ("new", "bob")
    )

    assert waits == pytest.approx([0, 0, 0, 0, 1, 0, 0])


def test_a_refused_body_counts_by_its_length() -> None:
    """A body of four parts counts as four more refusals, whether it has waited or not."""
    refused = [("a", "400"), ("b", "400"), ("c", "400"), ("d", "400")]

    assert slowed(*refused) == pytest.approx([0, 0, 1, 2])
    assert slowed(*refused, body_bytes=4 * BODY_BYTES) == pytest.approx([0, 4, 9, 14])


def test_probes_of_health_do_not_wait() -> None:
    """Whoever floods the server from the address that asks for its health does not have it restarted."""
    asked: list[str] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 401 if scope["path"] == "/" else 200})

    async def nothing(*_: object) -> Any:
        return {"type": "http.request"}

    async def ask(path: str) -> None:
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "state": {}}
        await slowdown(scope, nothing, nothing)

    async def play() -> None:
        await ask("/")
        await ask("/")
        late = asyncio.create_task(ask("/"))
        await settle()
        await ask("/healthz")
        await ask("/readyz")
        late.cancel()

    slowdown = Slowdown(app, unknown=Refusals(per_second=0.001, burst=1))
    asyncio.run(play())
    assert asked == ["/", "/", "/healthz", "/readyz"]


@pytest.mark.parametrize("is_given_back", [False, True])
def test_few_requests_of_a_known_caller_begin_at_a_time(monkeypatch: pytest.MonkeyPatch, is_given_back: bool) -> None:
    """The next one begins when another has ended, or takes long; those of another caller do not wait for them."""
    monkeypatch.setattr(shares, "FRONT_SECONDS", 0.001 if is_given_back else 3600)
    begun, may_end = Counter[str](), asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        user = scope["headers"][0][1].decode()
        scope["state"]["caller"] = Caller(user_id=user)
        begun[user] += 1
        await send({"type": "http.response.start", "status": 200})
        if user == "mallory" and begun[user] > 1:
            await may_end.wait()

    async def nothing(*_: object) -> Any:
        return None

    async def ask(user: str) -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"authorization", user.encode())]}
        await slowdown(scope | {"query_string": b"", "client": ("1.2.3.4", 5), "state": {}}, nothing, nothing)

    async def play() -> None:
        await ask("mallory")
        await ask("ann")  # from now on, both are known
        flood = [asyncio.create_task(ask("mallory")) for _ in range(20)]
        await asyncio.gather(*(ask("ann") for _ in range(20)))
        while begun["mallory"] < 21 and is_given_back:
            await asyncio.sleep(0.001)
        assert begun == {"mallory": 1 + (20 if is_given_back else FRONT_PLACES), "ann": 21}
        may_end.set()
        await asyncio.gather(*flood)
        assert begun["mallory"] == 21

    slowdown = Slowdown(app)
    asyncio.run(play())


def test_a_refusal_holds_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call of the same caller gets the reply again without being looked at, with headers of its own."""
    now, looked_at, sent = [1000.0], list[str](), list[Any]()
    monkeypatch.setattr(shares, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        looked_at.append(scope["path"])
        await send({"type": "http.response.start", "status": 429, "headers": [(b"retry-after", b"1")]})
        await send({"type": "http.response.body", "body": b"later"})

    async def send(message: Message) -> None:
        sent.append(message.get("body", len(message.get("headers", []))))
        message.get("headers", []).append((b"x-request-id", b"1"))

    async def nothing() -> Any:
        return None

    async def play() -> None:
        slowdown = Slowdown(app)
        for path, later in (("/a", 0.0), ("/a", 0.01), ("/b", 0.0), ("/a", REPEAT_SECONDS)):
            now[0] += later
            scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b"", "state": {}}
            await slowdown(scope, nothing, send)

    asyncio.run(play())
    assert looked_at == ["/a", "/b", "/a"]
    assert sent == 4 * [1, b"later"]


def test_an_answer_makes_room_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is not repeated once an accepted call has ended: a fast server would have nothing to do meanwhile."""
    now, statuses, looked_at = [0.0], [429, 200, 429], list[int]()
    monkeypatch.setattr(shares, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def app(_: Scope, __: Receive, send: Send) -> None:
        looked_at.append(statuses.pop(0))
        await send({"type": "http.response.start", "status": looked_at[-1], "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing(*_: Any) -> Any:
        return None

    async def play() -> None:
        slowdown = Slowdown(app)
        for later in (0.0, REPEAT_SECONDS, 0.01, 0.01):
            now[0] += later
            scope = {"type": "http", "method": "POST", "path": "/a", "headers": [], "query_string": b"", "state": {}}
            await slowdown(scope, nothing, nothing)

    asyncio.run(play())
    assert looked_at == [429, 200, 429]  # the fourth call is refused without a look
