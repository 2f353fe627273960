"""Connections of a real server: how many there may be, and how long each may take."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from tests.server.api import Api
from tunery.server.connections import ConnectionLimits
from tunery.server.serve import uvicorn_config

Address = tuple[str, int]

NEVER = 1000.0
PATIENT = ConnectionLimits(headers=NEVER, body=NEVER, body_pause=NEVER, reply_pause=NEVER, look=0.05)
HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WHOLE = HALF + b"\r\n"


@contextmanager
def serving(app: Callable[[Scope, Receive, Send], Awaitable[None]], limits: ConnectionLimits) -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        server = uvicorn.Server(uvicorn_config(app, limits=limits))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join()


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and reply; /stuck never ends, /long is more than a socket holds."""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    if scope["path"] == "/stuck":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    body = b"x" * (1 << 24) if scope["path"] == "/long" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def connected(address: Address, sent: bytes) -> socket.socket:
    one = socket.create_connection(address, timeout=60)
    one.sendall(sent)
    return one


def is_ended(one: socket.socket, after: bytes = b"") -> bool:
    """Wait until the server has closed a connection, and return whether it sent nothing, or a reply that begins so."""
    received = b""
    try:
        while part := one.recv(1000):
            received += part
    except ConnectionResetError:
        pass
    return received.startswith(after) if after else received == b""


@pytest.mark.parametrize(
    ("headers", "body", "replies"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", [b"200"]),
        (b"Content-Length: 3\r\nContent-Length: 5\r\n", b"abc", [b"400"]),
        (b"Content-Length: 1, 2\r\n", b"ab", [b"400"]),
        (b"Content-Length: +3\r\n", b"abc", [b"400"]),
        (b"Transfer-Encoding: identity\r\n", b"abc", [b"400"]),
    ],
    ids=["both", "two lengths", "a list of lengths", "a signed length", "unknown coding"],
)
def test_the_end_of_a_request_is_never_in_doubt(headers: bytes, body: bytes, replies: list[bytes]) -> None:
    """Chunks count and a length beside them does not; other doubtful lengths are refused (request smuggling)."""
    with serving(answer, PATIENT) as address:
        head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        received = b""
        with connected(address, head + headers + b"\r\n" + body) as one:
            while part := one.recv(1000):
                received += part

    assert [reply[:3] for reply in received.split(b"HTTP/1.1 ")[1:]] == replies


@pytest.mark.parametrize("sent", [b"", b"GET /", HALF, WHOLE + HALF], ids=["nothing", "a word", "half", "the second"])
def test_half_requests_are_ended(sent: bytes) -> None:
    """A connection without the end of its headers is closed, also after a request that was answered."""
    with serving(answer, replace(PATIENT, headers=0.2)) as address, connected(address, sent) as one:
        assert is_ended(one, b"HTTP/1.1 200" if sent.startswith(WHOLE) else b"")


@pytest.mark.parametrize("limit", ["body_pause", "body"])
def test_half_bodies_are_ended(limit: str) -> None:
    """So is one whose body does not go on, or does not end."""
    begun = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nx"
    with serving(answer, replace(PATIENT, **{limit: 0.2})) as address, connected(address, begun) as one:
        assert is_ended(one)


def test_a_reply_that_nobody_reads_is_given_up() -> None:
    """The connection of a client that reads nothing is closed, so that what was made for it can go."""
    asked = WHOLE.replace(b"/healthz", b"/long")
    with serving(answer, replace(PATIENT, reply_pause=0.2)) as address, connected(address, asked) as one:
        deadline = time.monotonic() + 60
        while one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1:  # TCP_ESTABLISHED
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_patient_client_is_waited_for() -> None:
    """A reply that takes long is no fault of the client."""
    hasty = replace(PATIENT, headers=0.2, body=0.2, body_pause=0.2, reply_pause=0.2)
    with serving(answer, hasty) as address, connected(address, WHOLE.replace(b"/healthz", b"/stuck")) as one:
        one.settimeout(1)
        with pytest.raises(TimeoutError):
            one.recv(100)


@pytest.mark.parametrize("limit", ["total", "per_address"])
def test_a_new_connection_takes_the_place_of_the_oldest_half_request(limit: str) -> None:
    """Half requests keep nobody out; only requests that are being answered do."""
    with serving(answer, replace(PATIENT, **{limit: 3})) as address:
        held = [connected(address, HALF) for _ in range(3)]
        with connected(address, WHOLE) as one:
            assert one.recv(100).startswith(b"HTTP/1.1 200")
        assert is_ended(held[0])
        for one in held:
            one.close()


def test_one_too_many_is_refused() -> None:
    """With a request in each place another connection gets 503 at once."""
    stuck = WHOLE.replace(b"/healthz", b"/stuck")
    with serving(answer, replace(PATIENT, per_address=2)) as address:
        held = [connected(address, stuck) for _ in range(2)]
        time.sleep(0.2)  # until both were read; one that was not would be replaced
        with connected(address, b"") as one:
            assert one.recv(100).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n")
        for one in held:
            one.close()


@pytest.mark.parametrize("kept", ["close", "keep-alive"])
def test_a_refused_body_does_not_cost_the_reply(api: Api, kept: str) -> None:
    """A client that sends 4 MB before it reads learns why they were refused, also if it closes after one request."""
    head = f"POST /v1beta/tunedModels HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {kept}\r\n"
    body = b"x" * 4_000_000
    sent = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with serving(api.app, PATIENT) as address, connected(address, sent) as one:
        assert one.recv(100).startswith(b"HTTP/1.1 403 Forbidden\r\n")


def test_who_goes_on_sending_is_ended(api: Api) -> None:
    """Bytes after a refusal are thrown away, for as long as headers may take."""
    head = (
        b"POST /v1beta/tunedModels HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 4000000\r\n\r\nx"
    )
    with serving(api.app, replace(PATIENT, headers=0.2)) as address, connected(address, head) as one:
        assert is_ended(one, b"HTTP/1.1 403")
        one.settimeout(60)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            one.sendall(b"x" * (1 << 28))


def test_a_client_that_leaves_in_its_body_is_no_error(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The log has a line for the request, and no traceback."""
    token = api.web.headers["authorization"].encode()
    begun = b"POST /v1beta/tunedModels HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\nAuthorization: %s\r\n\r\n{"
    answered = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await api.app(scope, receive, send)
        finally:
            answered.set()

    with serving(app, PATIENT) as address:
        connected(address, begun % token).close()
        assert answered.wait(60)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
