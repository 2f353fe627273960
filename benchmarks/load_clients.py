"""
Clients that put load on a server: they keep their connection, poll, stream and create, and note how long a call takes.

Bare sockets on asyncio, since the clients share the cores with what they measure. Knows HTTP/1.1 as our server writes
it; nothing of what is measured.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

_LENGTH = re.compile(rb"(?i)content-length: (\d+)")


@dataclass
class Calls:
    """What came of many calls: milliseconds of each, statuses, texts of the answers."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refused_after: list[float] = field(default_factory=list)

    def note(self, status: int, milliseconds: float) -> None:
        self.statuses[status] += 1
        (self.milliseconds if status == 200 else self.refused_after).append(milliseconds)

    def summary(self) -> dict[str, Any]:
        return {
            "calls": sum(self.statuses.values()),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "median ms": rounded(median(self.milliseconds)) if self.milliseconds else None,
            "p95 ms": rounded(p95(self.milliseconds)),
            "refused after, p95 ms": rounded(p95(self.refused_after)),
        }


class Connection:
    """One connection that stays open between calls."""

    def __init__(self, port: int, credentials: Mapping[str, str]) -> None:
        """Connect when the first call is made; `credentials` are the headers of a user."""
        self._port, self._credentials = port, credentials
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes, float]:
        """Return status, body and milliseconds to the last byte of one call."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        request = request_of(self._credentials, method, path, body)
        begin = time.perf_counter()
        writer.write(request)
        status, headers = await _head(reader)
        received = await _body(reader, headers)
        return status, received, 1000 * (time.perf_counter() - begin)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def repeat(
    connection: Connection,
    calls: Calls,
    is_over: Callable[[], bool],
    pause: float,
    method: str,
    path: str,
    body: Any = None,
) -> None:
    """Make the same call again and again, with a pause between, until it is over; clients do not begin in step."""
    await asyncio.sleep(random.uniform(0, pause))
    while not is_over():
        status, _, milliseconds = await connection.call(method, path, body)
        calls.note(status, milliseconds)
        if pause:
            await asyncio.sleep(pause)
    connection.close()


class Once(asyncio.Protocol):
    """One call on a connection of its own, as cheap as Python has it."""

    def __init__(self, request: bytes, calls: Calls) -> None:
        self._request, self._calls, self._received, self._is_whole = request, calls, b"", False
        self.is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._begin = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= int(_LENGTH.findall(head)[0]):
            self._calls.note(int(head[9:12]), 1000 * (time.perf_counter() - self._begin))
            self._is_whole = True
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._is_whole:
            self._calls.note(0, 1000 * (time.perf_counter() - self._begin))  # a reply that never came
        self.is_over.set_result(None)


async def once(port: int, request: bytes, calls: Calls) -> None:
    """Make one call on a connection of its own."""
    _, call = await asyncio.get_running_loop().create_connection(lambda: Once(request, calls), "127.0.0.1", port)
    await call.is_over


def request_of(credentials: Mapping[str, str], method: str, path: str, body: object = None) -> bytes:
    """Return a whole request; `credentials` are the headers of a user."""
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"Host": "127.0.0.1", **credentials, "Content-Length": str(len(content))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} /v1beta/{path} HTTP/1.1\r\n{lines}\r\n".encode() + content


def p95(values: list[float]) -> float | None:
    """Return the 95th percentile, None of nothing."""
    return quantile(values, 0.95)


def quantile(values: list[float], part: float) -> float | None:
    """Return the value that this part of all does not exceed, None of nothing."""
    return sorted(values)[max(0, round(part * len(values)) - 1)] if values else None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
