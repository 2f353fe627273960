"""
Limits the connections of a server: their number, and how long a client may take to send a request and to read the
reply.

uvicorn limits only the time between two requests; it would wait forever for a client that sends half of one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """
    Numbers of connections, and seconds.

    `per_address` is None behind a proxy, because all connections then have its address.
    """

    total: int = 512
    per_address: int | None = 256
    headers: float = 10.0  # from the connection, or the last reply, to the end of the headers
    body: float = 120.0
    body_pause: float = 20.0  # between two parts of a body
    reply_pause: float = 60.0  # in which a client reads nothing of its reply
    look: float = 1.0  # between two checks of all connections


READ_BYTES = 64 * 1024  # read at once; most refused requests are read no further
LINGERING_PAUSE = 0.02  # seconds between two reads after a refusal
_NOTHING = struct.pack("ii", 1, 0)  # of unsent data are kept
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connections:
    """The open connections of one server."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: dict[BoundedProtocol, None] = {}  # the oldest first
        self._of_address: Counter[str] = Counter()
        self._is_watching = False

    def protocol(self) -> type[H11Protocol]:
        """Return the class of connections for uvicorn's setting `http`."""

        class Counted(BoundedProtocol):
            connections_of_server = self

        return Counted

    def admit(self, new: BoundedProtocol) -> bool:
        """
        Count a new connection; return False if there are too many.

        It replaces the oldest one that has not sent a whole request, because incomplete requests must not keep others
        out.
        """
        if crowd := self._crowd(new.address):
            oldest = next((one for one in crowd if one.waits_for_request), None)
            if oldest is None:
                return False
            oldest.end()
            self.forget(oldest)
        self._open[new] = None
        self._of_address[new.address] += 1
        if not self._is_watching:
            self._is_watching = True
            new.loop.call_later(self.limits.look, self._look, new.loop)
        return True

    def forget(self, ended: BoundedProtocol) -> None:
        """Stop counting a connection."""
        if ended in self._open:
            del self._open[ended]
            self._of_address[ended.address] -= 1
            if not self._of_address[ended.address]:
                del self._of_address[ended.address]

    def _crowd(self, address: str) -> list[BoundedProtocol]:
        """Return the connections of which one has to end to make room for another one from this address."""
        per_address = self.limits.per_address
        if per_address is not None and self._of_address[address] >= per_address:
            return [one for one in self._open if one.address == address]
        return list(self._open) if len(self._open) >= self.limits.total else []

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        for one in list(self._overdue(loop.time())):
            one.end()
        self._is_watching = bool(self._open)
        if self._is_watching:
            loop.call_later(self.limits.look, self._look, loop)

    def _overdue(self, now: float) -> Iterator[BoundedProtocol]:
        return (one for one in self._open if one.is_overdue(now, self.limits))


class _LingeringTransport:
    """
    A transport that stays half open when it is closed in the middle of a body, until the client has ended or is late.

    The client is still sending. If a connection is closed with unread bytes, it is reset, and the reply that says why
    the body was refused is lost.
    """

    def __init__(self, transport: asyncio.Transport, protocol: BoundedProtocol) -> None:
        self._transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._protocol.is_lingering or self._transport.is_closing()

    def close(self) -> None:
        if self._protocol.has_unread_body and not self._protocol.is_lingering and self._transport.can_write_eof():
            self._protocol.is_lingering = True
            self._transport.write_eof()
            self._protocol.rest()
        else:
            self._transport.close()


class BoundedProtocol(H11Protocol):
    """A connection that records what it is waiting for, and since when."""

    connections_of_server: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start, or refuse the connection if there are too many."""
        self.is_lingering = False
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's own transports
        super().connection_made(cast(asyncio.Transport, _LingeringTransport(transport, self)))
        now = self.loop.time()
        self.address = self.client[0] if self.client else ""
        self._idle_since = self._request_since = self._data_time = now
        self._unread_since: float | None = None
        self._last_cycle: Any = None
        self._is_refused = not self.connections_of_server.admit(self)
        if self._is_refused:
            transport.write(REFUSAL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self.connections_of_server.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Record when data arrived, and whether it begins a request."""
        if self._is_refused:
            return
        if self.is_lingering:
            self.rest()
            return
        self._data_time = self.loop.time()
        super().data_received(data)
        if self.cycle is not self._last_cycle:
            self._last_cycle, self._request_since = self.cycle, self._data_time

    def rest(self) -> None:
        """Wait before reading more of a refused body; at full speed, it would keep a core busy."""
        self.transport.pause_reading()
        self.loop.call_later(LINGERING_PAUSE, self.transport.resume_reading)  # which does nothing once it is closed

    def on_response_complete(self) -> None:
        """Record that the next request is awaited from now on."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Record that the client is not reading from now on."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Record that the client is reading."""
        self._unread_since = None
        super().resume_writing()

    @property
    def has_unread_body(self) -> bool:
        """Whether a request was answered before all of it had arrived."""
        return self.cycle is not None and self.cycle.response_complete and self.cycle.more_body

    @property
    def waits_for_request(self) -> bool:
        """Whether no request is being answered, because its headers are incomplete or it has been answered."""
        return self.cycle is None or self.cycle.response_complete

    def is_overdue(self, now: float, limits: ConnectionLimits) -> bool:
        """Return whether the client has taken too long."""
        if self._unread_since is not None:
            return now - self._unread_since > limits.reply_pause
        if self.waits_for_request:
            is_read = not self.transport.get_write_buffer_size()  # uvicorn has written all of a reply at once
            return now - self._idle_since > (limits.headers if is_read else limits.reply_pause)
        if not self.cycle.more_body:
            return False  # the reply is being prepared
        if self.flow.read_paused:  # it is the server that is not reading
            self._data_time = now
            self._request_since += limits.look
            return False
        return now - self._data_time > limits.body_pause or now - self._request_since > limits.body

    def end(self) -> None:
        """Close the connection immediately; the unread part of a reply is not kept for the client either."""
        with suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOTHING)
        self.transport.abort()
