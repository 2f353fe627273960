"""
Parameters of requests that are not JSON: forms and queries, each name once.

Knows how they are encoded; nothing of what they are for.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from tunery.errors import InvalidArgument
from tunery.server.body import read_limited

MAX_FORM_BYTES = 64 * 1024
_FORM_TYPE = "application/x-www-form-urlencoded"

Parameters = dict[str, str]


async def form_of(request: Request) -> Parameters:
    """Return the fields of a form; raises InvalidArgument if it is none, too long, or names a field twice."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await read_limited(request, MAX_FORM_BYTES)
    if body and kind != _FORM_TYPE:
        raise InvalidArgument(f"The body must be a form ({_FORM_TYPE}), not {kind or 'without a type'}.")
    try:
        return parameters_of(body.decode())
    except UnicodeDecodeError:
        raise InvalidArgument("The form is not UTF-8.") from None


def parameters_of(encoded: str) -> Parameters:
    """Return parameters by name, empty ones left out; raises InvalidArgument if one is there twice (RFC 6749, 3.1)."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:  # also of bytes that are no UTF-8
        raise InvalidArgument("The parameters are not well-formed.") from None
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidArgument(f"The parameter {twice[0]!r} is there more than once.")
    return {name: value for name, value in pairs if value}
