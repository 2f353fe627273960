"""Streamed replies byte by byte, without a model: nothing that breaks a client is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from tunery.errors import ResourceExhausted
from tunery.server.http import event_stream, json_array

TEXTS = ["one", 'line\nbreak "quoted"', "\u2028\u2029\x85", "ä日本🎉", ""]


async def chunks(*values: dict[str, Any], error: Exception | None = None) -> AsyncIterator[dict[str, Any]]:
    for value in values:
        yield value
    if error is not None:
        raise error


def sent(reply: StreamingResponse) -> bytes:
    async def read() -> bytes:
        return b"".join(
            [bytes(part) if not isinstance(part, str) else part.encode() async for part in reply.body_iterator]
        )

    return asyncio.run(read())


def test_events_byte_by_byte() -> None:
    """`data: `, JSON of one line, a blank line, for the last one too; nothing else."""
    reply = event_stream(chunks({"a": 1}, {"b": [1, 2]}))

    assert sent(reply) == b'data: {"a": 1}\r\n\r\ndata: {"b": [1, 2]}\r\n\r\n'
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_an_array_byte_by_byte() -> None:
    """`[`, chunks between commas, `]` as the very last byte."""
    reply = json_array(chunks({"a": 1}, {"b": 2}))

    assert sent(reply) == b'[{"a": 1},\r\n{"b": 2}]'
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize("text", TEXTS)
def test_a_chunk_is_one_line_to_every_client(text: str) -> None:
    """No text can end a line early, whatever a client takes for the end of a line."""
    events = sent(event_stream(chunks({"text": text}))).decode()

    (line,) = events.removesuffix("\r\n\r\n").splitlines()
    assert json.loads(line.removeprefix("data: ")) == {"text": text}
    assert json.loads(sent(json_array(chunks({"text": text})))) == [{"text": text}]


def test_an_error_in_the_middle_is_the_last_event() -> None:
    """`{"error": ...}` with `error` as its first key, and the stream ends as any other."""
    events = sent(event_stream(chunks({"a": 1}, error=ResourceExhausted("full"))))

    first, last, end = events.split(b"\r\n\r\n")
    assert (first, end) == (b'data: {"a": 1}', b"")
    assert last.startswith(b'data: {"error": {"code": 429, "message": "full", "status": "RESOURCE_EXHAUSTED"')


def test_an_error_in_the_middle_is_the_last_element() -> None:
    """The array stays one that can be read to its end."""
    elements = json.loads(sent(json_array(chunks({"a": 1}, error=ResourceExhausted("full")))))

    assert elements[0] == {"a": 1}
    assert elements[1]["error"]["code"] == 429


def test_what_nobody_expected_is_told_without_its_reason() -> None:
    """A bug in the middle of a stream is INTERNAL, without its text."""
    events = sent(event_stream(chunks({"a": 1}, error=ValueError("a secret"))))

    assert b'"status": "INTERNAL"' in events
    assert b"secret" not in events
