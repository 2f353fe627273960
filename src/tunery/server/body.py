"""
Request bodies: read within the limit of 4 MiB, parsed leniently, checked against a message of `wire/`.

Published curl guides post trailing commas and clients post nothing at all; both were answered by the original. Knows
bytes and messages; nothing of what they are for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from tunery.errors import InvalidArgument
from tunery.types import MAX_DATASET_BYTES

# A string that never closes is taken to the end and never looked at again: trying again at each quote inside it took
# hours for 4 MiB.
_STRINGS_AND_TRAILING_COMMAS = re.compile(r'("(?:[^"\\]|\\.|\\\Z)*+(?:"|\Z))|,(?=\s*[}\]])', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_IN_THE_LOOP_BYTES = 20_000  # larger bodies are parsed beside the event loop, which they would hold up for 0.2 s

M = TypeVar("M", bound=BaseModel)


def body_of(message: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Return the dependency that reads a request's body as such a message; raises InvalidArgument."""

    async def read(request: Request) -> M:
        body = await read_limited(request)
        if len(body) <= _IN_THE_LOOP_BYTES:
            return parsed(message, body)
        return await run_in_threadpool(parsed, message, body)

    return read


async def read_limited(request: Request, limit_bytes: int = MAX_DATASET_BYTES) -> bytes:
    """Return the body of a request, counted while it comes in; raises InvalidArgument beyond the limit."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            # the old Google client knows this error by its first words
            raise InvalidArgument(f"Request payload size exceeds the limit: {limit_bytes} bytes.")
        parts.append(part)
    return b"".join(parts)


def parsed(message: type[M], body: bytes) -> M:
    """Return a body as a message; an empty one is `{}`. Raises InvalidArgument with the path of every wrong field."""
    value = _json(body)
    if not isinstance(value, dict):
        raise InvalidArgument("Invalid JSON payload received. The body must be an object.")
    try:
        return message.model_validate(value)
    except ValidationError as error:
        raise InvalidArgument(_message(error)) from None


def _json(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"Invalid JSON payload received. The body is not UTF-8 at byte {error.start}.") from None
    value = _lenient(text)
    if _SURROGATE.search(text):
        _refuse_lone_surrogates(value, ())
    return value


def _lenient(text: str) -> Any:
    with suppress(json.JSONDecodeError):
        return _loads(text)
    try:
        return _loads(_STRINGS_AND_TRAILING_COMMAS.sub(lambda match: match[1] or "", text))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidArgument(f"Invalid JSON payload received. {error.msg} at {where}.") from None


def _refuse_lone_surrogates(value: Any, place: tuple[int | str, ...]) -> None:
    """Halves of a character are no text: neither the database nor a tokenizer takes them."""
    match value:
        case str() if any("\ud800" <= character <= "\udfff" for character in value):
            raise InvalidArgument(f"Invalid value at '{_path(place)}': it holds half of a surrogate pair.")
        case dict():
            for name, inner in value.items():
                _refuse_lone_surrogates(name, (*place, "a name"))
                _refuse_lone_surrogates(inner, (*place, name))
        case list():
            for number, inner in enumerate(value):
                _refuse_lone_surrogates(inner, (*place, number))


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidArgument("Invalid JSON payload received. It is nested too deeply.") from None
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python's guard: turning so many digits into a number takes too long
        raise InvalidArgument("Invalid JSON payload received. A number has too many digits.") from None


def _refuse_constant(name: str) -> Any:
    raise InvalidArgument(f"Invalid JSON payload received. {name} is not a JSON value.")


def _message(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    said = [_problem(problem["loc"], problem["type"], problem["msg"]) for problem in problems[:20]]
    more = f" And {len(problems) - 20} more." if len(problems) > 20 else ""
    return f"Invalid JSON payload received. {' '.join(said)}{more}"


def _problem(place: Sequence[int | str], kind: str, text: str) -> str:
    *parents, last = place or ("",)
    if kind == "extra_forbidden":
        where = f" at '{_path(parents)}'" if parents else ""
        return f'Unknown name "{last}"{where}: Cannot find field.'
    return f"Invalid value at '{_path(place)}': {text.removeprefix('Value error, ')}."


def _path(place: Sequence[int | str]) -> str:
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
