"""
Streamed replies, byte for byte as the clients want them: server-sent events, or one JSON array.

Each of these breaks at least one client: comments, event names, `[DONE]`, indented JSON, a missing last blank line;
and in the array anything behind the closing bracket, a newline too. Some clients end a line at U+0085, U+2028 and
U+2029 as well, so these are escaped. Knows bytes; nothing of what is in the chunks.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from tunery.errors import TuneryError
from tunery.server.errors import envelope

_LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}

Chunks = AsyncIterator[Mapping[str, Any]]

_log = logging.getLogger("tunery.server")


def event_stream(chunks: Chunks) -> StreamingResponse:
    """Return chunks as server-sent events."""
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    return StreamingResponse(_events(chunks), headers=headers)


def json_array(chunks: Chunks) -> StreamingResponse:
    """Return chunks as the elements of one JSON array."""
    return StreamingResponse(_elements(chunks), headers={"Content-Type": "application/json; charset=UTF-8"})


async def _events(chunks: Chunks) -> AsyncIterator[bytes]:
    async for line in _lines(chunks):
        yield b"data: " + line + b"\r\n\r\n"


async def _elements(chunks: Chunks) -> AsyncIterator[bytes]:
    before = b"["
    async for line in _lines(chunks):
        yield before + line
        before = b",\r\n"
    yield b"]"


async def _lines(chunks: Chunks) -> AsyncIterator[bytes]:
    """Yield each chunk as JSON of one line; an error in the middle becomes the last one."""
    try:
        async for chunk in chunks:
            yield _line(chunk)
    except TuneryError as error:
        yield _line(envelope(error))
    except Exception as error:  # noqa: BLE001  # the status has been sent; only a chunk can still say it
        _log.error("A stream broke off", exc_info=error)
        yield _line(envelope(TuneryError("Internal error encountered.")))


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).translate(_LINE_ENDS).encode()
