"""
One line per request: method, status, duration, who (as a hash) and the id of the request, which the reply carries too.

Never a path, a query, a header or a body: keys and prompts stand there. Knows ASGI and logging; nothing of handlers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import sys
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from tunery.server.auth import CallerOf
from tunery.server.metrics import Metrics
from tunery.types import Caller

FORMATS = ("text", "json")
UNKNOWN = "unknown"  # no route: its path may be anything, so it is not written

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FIELDS = ("method", "status", "duration_ms", "user", "request_id")

_log = logging.getLogger("tunery.requests")


class RequestLog:
    """The ASGI middleware that writes the lines and counts the requests."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; note how."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        begin, status = time.monotonic(), 500

        async def send_named(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            seconds = time.monotonic() - begin
            method = str(getattr(scope.get("route"), "name", UNKNOWN))
            self._metrics.observe(method, status, seconds)
            values = (method, status, round(1000 * seconds, 1), scope.get("state", {}).get("user"), request_id)
            _log.info("%s %s in %s ms", *values[:3], extra=dict(zip(_FIELDS, values, strict=True)))


async def noted_caller(request: Request, caller: CallerOf) -> None:
    """A dependency of all routes with callers: remember who calls for the line."""
    note_caller(request, caller)


def note_caller(request: Request, caller: Caller) -> None:
    """Remember who calls, as a hash, for the line of this request."""
    request.state.user = None if caller.user_id is None else user_hash(caller.user_id)


def user_hash(user_id: str) -> str:
    """Return by what a user is known in logs."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:12]


def start_logging(form: str, stream: TextIO | None = None) -> None:
    """Write what the server logs to standard error or a stream, as plain lines or as one JSON object per line."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.setLevel(logging.INFO)
    root = logging.getLogger("tunery")
    for known in list(root.handlers):
        root.removeHandler(known)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        fields = {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        line |= fields or {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
