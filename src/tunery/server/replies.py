"""
Replies as the original wrote them: JSON with two spaces of indent, since guides read it with `curl ... | grep state`.

Knows JSON and headers; nothing of resources.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


class JsonReply(Response):
    """A JSON document, indented; NaN and infinity must have been made texts before (`wire.base.Message`)."""

    media_type = "application/json; charset=UTF-8"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2).encode() + b"\n"
