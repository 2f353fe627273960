"""
Request bodies: read within the limit of 4 MiB, parsed leniently, checked against a message of `wire/`.

Published curl guides post trailing commas and clients post nothing at all; both were answered by the original. Knows
bytes and messages; nothing of what they are for.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from starlette.concurrency import run_in_threadpool
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from tunery.errors import (
    DatasetInvalid,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from tunery.types import MAX_DATASET_BYTES

if TYPE_CHECKING:
    from tunery.engine.catalog import Catalog
    from tunery.service.accounts.accounts import Accounts
    from tunery.service.answering import Answering
    from tunery.service.creation import Creation
    from tunery.service.estimate import Estimates
    from tunery.service.library import Library
    from tunery.service.reports import DataCurves, Evaluations, Examinations
    from tunery.service.worker import Worker

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


SERVICE = "generativelanguage.googleapis.com"
RETRY_SECONDS = 5

# google.rpc.Code to HTTP, as google/rpc/code.proto maps them
HTTP_STATUS = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_RPC_STATUS = {400: InvalidArgument.status, 404: NotFound.status, 405: "UNIMPLEMENTED", 413: InvalidArgument.status}

_RPC_SERVICES = {
    "operations": "google.longrunning.Operations",
    "permissions": "google.ai.generativelanguage.v1beta.PermissionService",
    "generation": "google.ai.generativelanguage.v1beta.GenerativeService",
    "text": "google.ai.generativelanguage.v1beta.TextService",
}


def add_error_handlers(app: FastAPI) -> None:
    """Let an app answer every error in the envelope."""
    app.add_exception_handler(TuneryError, _on_tunery_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_wrong_parameter)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _on_unexpected)


def envelope(error: TuneryError, method: str = "") -> dict[str, Any]:
    """Return the error object of an error; `method` is the full name of the rpc."""
    details: list[dict[str, Any]] = []
    if error.reason:
        metadata = {"service": SERVICE, "method": method}
        details.append(_detail("ErrorInfo", reason=error.reason, domain="googleapis.com", metadata=metadata))
    if isinstance(error, DatasetInvalid):
        violations = [{"field": _where(problem), "description": str(problem)} for problem in error.problems]
        details.append(_detail("BadRequest", fieldViolations=violations))
    if isinstance(error, ResourceExhausted | Unavailable):
        details.append(_detail("RetryInfo", retryDelay=f"{RETRY_SECONDS}s"))
    body: dict[str, Any] = {"code": HTTP_STATUS[error.status], "message": str(error), "status": error.status}
    return {"error": body | ({"details": details} if details else {})}


def reply_of(error: TuneryError, method: str = "") -> Response:
    """Return the whole reply for an error."""
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    elif error.reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
        headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    elif isinstance(error, ResourceExhausted | Unavailable):
        headers["Retry-After"] = str(RETRY_SECONDS)
    return JsonReply(envelope(error, method), HTTP_STATUS[error.status], headers)


def _on_tunery_error(request: Request, error: TuneryError) -> Response:
    if HTTP_STATUS[error.status] == 500:
        _log.error("%s: %s", _method(request), error, exc_info=error)
    return reply_of(error, _method(request))


def _on_http_error(_request: Request, error: HTTPException) -> Response:
    status = _RPC_STATUS.get(error.status_code, "INTERNAL" if error.status_code >= 500 else "INVALID_ARGUMENT")
    message = str(error.detail) if error.detail != HTTPStatus(error.status_code).phrase else _plain(error.status_code)
    body = {"error": {"code": error.status_code, "message": message, "status": status}}
    return JsonReply(body, error.status_code, error.headers)


def _on_wrong_parameter(request: Request, error: RequestValidationError) -> Response:
    wrong = [f"Invalid value for {problem['loc'][-1]}: {problem['msg']}." for problem in error.errors()]
    return reply_of(InvalidArgument(" ".join(wrong)), _method(request))


def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s failed", _method(request), exc_info=error)
    return reply_of(TuneryError("Internal error encountered. The log of the server says more."), _method(request))


def _method(request: Request) -> str:
    """Return the full name of the rpc: routes are named after it, and tagged with what it is about."""
    route = request.scope.get("route")
    tags = getattr(route, "tags", None) or [""]
    service = _RPC_SERVICES.get(tags[0], "google.ai.generativelanguage.v1beta.ModelService")
    return f"{service}.{getattr(route, 'name', '').removesuffix('Tuned')}"


def _plain(code: int) -> str:
    return {404: "There is no such path.", 405: "This path has no such method."}.get(code, HTTPStatus(code).phrase)


def _where(problem: object) -> str:
    values: Mapping[str, Any] = {name: getattr(problem, name) for name in ("row", "column")}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


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


SCHEMA_REFERENCE = "#/components/schemas/{model}"
BODIES: dict[str, type[BaseModel]] = {}  # messages that handlers read themselves, by name, for the OpenAPI document


class _IdConvertor(StringConvertor):
    regex = "[^/:]+"


register_url_convertor("id", _IdConvertor())


def text_parameter(request: Request, name: str) -> str | None:
    """Return a query parameter given as `name` or in camelCase, None if it is missing or empty."""
    found = request.query_params.get(to_camel(name)) or request.query_params.get(name)
    return found or None


def int_parameter(request: Request, name: str) -> int | None:
    """Return a whole number from the query, None if it is missing; raises InvalidArgument."""
    text = text_parameter(request, name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{name} must be a whole number, not {text!r}.") from None


def described(
    reply: type[BaseModel] | UnionType | None = None,
    *,
    body: type[BaseModel] | None = None,
    query: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return what a route says of itself in the OpenAPI document, as arguments of its decorator."""
    parameters = [
        {"name": to_camel(name), "in": "query", "required": False, "schema": {"type": _TYPES.get(name, "string")}}
        for name in query
    ]
    extra: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if body is not None:
        BODIES[body.__name__] = body
        extra["requestBody"] = {
            "content": {"application/json": {"schema": {"$ref": SCHEMA_REFERENCE.format(model=body.__name__)}}}
        }
    return {
        "response_model": None,
        "responses": {200: {"model": reply} if reply is not None else {"description": "An empty object."}},
        "openapi_extra": extra,
    }


_TYPES = {
    "page_size": "integer",
    "validate_only": "boolean",
    "extensions": "boolean",
    "held_out": "boolean",
    "rendered": "boolean",
}


class JsonReply(Response):
    """A JSON document, indented; NaN and infinity must have been made texts before (`wire.base.Message`)."""

    media_type = "application/json; charset=UTF-8"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the handlers; `address` is the public address of the server, without a slash at the end."""

    library: Library
    catalog: Catalog
    accounts: Accounts
    answering: Answering
    creation: Creation
    estimates: Estimates
    evaluations: Evaluations
    examinations: Examinations
    data_curves: DataCurves
    worker: Worker
    address: str


def services_of(request: Request) -> Services:
    """Return the services of the app that a request came to."""
    services: Services = request.app.state.services
    return services
