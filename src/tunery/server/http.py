"""
HTTP as used by Google's clients: routes and their parameters, request bodies, replies, streams and the error envelope.

Handlers take and return the messages of `wire/`; `ApiRouter` binds them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial, wraps
from http import HTTPStatus
from inspect import Signature, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, FastAPI, Query, Request, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic.alias_generators import to_camel, to_snake
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.routing import Match

from tunery.data.json_text import one_line
from tunery.errors import (
    DISK_FULL,
    BodyInvalid,
    Cancelled,
    DataLoss,
    DatasetInvalid,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from tunery.server.not_offered import why_not_found
from tunery.server.shares import Places, in_own_thread
from tunery.server.wire.messages import MAX_PROBLEMS, Incoming, Message, Problems
from tunery.server.wire.protobuf_json import LARGE_BODY_BYTES, path_of, read_json
from tunery.service.access import require_known
from tunery.service.database import audit
from tunery.service.folder import split_epoch
from tunery.service.tuning import MAX_PAGE_SIZE, page_size, page_token, read_page_token
from tunery.types import MAX_DATASET_BYTES, Caller

if TYPE_CHECKING:
    from tunery.engine.catalog import Catalog
    from tunery.service.accounts.accounts import Accounts
    from tunery.service.answering import Answering
    from tunery.service.bases import Downloads
    from tunery.service.creation import Creation, Estimates
    from tunery.service.library import Library
    from tunery.service.reports import DataChecks, DataCurves, Evaluations
    from tunery.service.worker import Worker

_IN_THE_LOOP_BYTES = 20_000  # larger bodies are parsed in a thread; 4 MiB would block the event loop for 0.2 s
# A hostile body of 4 MiB takes 120 MB when it is parsed. A place is held until the request has been answered.
PARSERS = Places("large requests are being read", size=1, line=64)
MAX_REST_SECONDS = 1.0
LARGE_BODIES = Places("large requests are being handled", size=4, line=32)

M = TypeVar("M", bound=Incoming)
T = TypeVar("T")

SCHEMA_REFERENCE = "#/components/schemas/{model}"
BODIES: dict[str, type[BaseModel]] = {}  # messages of request bodies by name, for the OpenAPI document

Flag = Annotated[bool, BeforeValidator(lambda value: value == "true")]


class _IdConvertor(StringConvertor):
    regex = "[^/:]+"  # without the colon, or `{id}` would also match `{id}:verb`


class _AnyConvertor(StringConvertor):
    regex = r"[\s\S]+"  # Starlette's `path` ends at a line break


register_url_convertor("id", _IdConvertor())
register_url_convertor("any", _AnyConvertor())


class ApiRoute(APIRoute):
    """A route that accepts query names in either case, because clients send `pageSize` and samples `page_size`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler; it sees camelCase names only, and no empty values."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            given = parse_qsl(request.scope["query_string"].decode("latin-1"))
            request.scope["query_string"] = urlencode([(to_camel(name), value) for name, value in given]).encode()
            return await handle(request)

        return handled


class ApiRouter(APIRouter):
    """
    A router whose handlers work with messages.

    A parameter that is an `Incoming` message is the body, other parameters are path or query (in camelCase). A handler
    returns the message to send, None for an empty object, or a finished Response.
    """

    def __init__(self, *, is_googles: bool = True, **options: Any) -> None:
        """With `is_googles`, bodies are read the way Google's parser reads them, else as strict JSON."""
        self._is_googles = is_googles
        super().__init__(**{"route_class": ApiRoute} | options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route; the body and reply in the OpenAPI document come from the signature."""
        hints = get_type_hints(endpoint, include_extras=True)
        reply = hints.pop("return")
        is_message = reply is not Response and reply is not type(None)
        options["responses"] = options.get("responses") or {
            200: {"model": reply} if is_message else {"description": "An empty object."}
        }
        for name, hint in hints.items():
            if isinstance(hint, type) and issubclass(hint, Incoming):
                options["openapi_extra"] = _body_described(hint)
                hints[name] = Annotated[hint, Depends(body_of(hint, is_googles=self._is_googles))]
            elif hint is not Request and f"{{{name}" not in path and not _is_dependency(hint):
                hints[name] = Annotated[hint, Query(alias=to_camel(name))]
        super().add_api_route(path, _replying(endpoint, hints), **options | {"response_model": None})


def _body_described(message: type[BaseModel]) -> dict[str, Any]:
    BODIES[message.__name__] = message
    reference = {"$ref": SCHEMA_REFERENCE.format(model=message.__name__)}
    return {"requestBody": {"content": {"application/json": {"schema": reference}}}}


def _is_dependency(hint: Any) -> bool:
    return any(isinstance(extra, params.Depends) for extra in getattr(hint, "__metadata__", ()))


def _replying(endpoint: Callable[..., Any], hints: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a handler with these types that sends what `endpoint` returns."""

    @wraps(endpoint)
    def handler(*args: Any, **values: Any) -> Response:
        return _reply(endpoint(*args, **values))

    @wraps(endpoint)
    async def async_handler(*args: Any, **values: Any) -> Response:
        return _reply(await endpoint(*args, **values))

    chosen = async_handler if iscoroutinefunction(endpoint) else handler
    given = signature(endpoint).parameters.values()
    chosen.__signature__ = Signature([each.replace(annotation=hints[each.name]) for each in given])  # type: ignore[union-attr]
    return chosen


def _reply(value: Message | Response | None) -> Response:
    return value if isinstance(value, Response) else JsonReply({} if value is None else value)


def page_of(
    items: Sequence[T],
    size: int | None,
    token: str | None,
    *list_key: object,
    default: int,
    largest: int = MAX_PAGE_SIZE,
) -> tuple[list[T], str | None]:
    """Return a page of a list and the token for the next one; `list_key` has everything the list depends on."""
    end = (start := read_page_token(token, *list_key) or 0) + min(page_size(size, default), largest)
    return list(items[start:end]), page_token(end, *list_key) if len(items) > end else None


class JsonReply(Response):
    """A JSON document, indented by two spaces because guides read it with `curl ... | grep state`."""

    media_type = "application/json; charset=UTF-8"

    def render(self, content: Any) -> bytes:
        """Return a message or plain JSON values as bytes."""
        if isinstance(content, Message):
            return content.to_json(indent=2).encode() + b"\n"
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Services:
    """The services that handlers use; `address` is the public address of the server, without a slash at the end."""

    library: Library
    catalog: Catalog
    accounts: Accounts
    answering: Answering
    creation: Creation
    estimates: Estimates
    evaluations: Evaluations
    data_checks: DataChecks
    data_curves: DataCurves
    downloads: Downloads
    worker: Worker | None  # None: workers elsewhere tune
    address: str


def services_of(request: Request) -> Services:
    """Return the services of the app that serves a request."""
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:  # async, because FastAPI would run a plain function in a thread
    return services_of(request)


ServicesOf = Annotated[Services, Depends(_services)]


def body_of(message: type[M], *, is_googles: bool = True) -> Callable[[Request], AsyncIterator[M]]:
    """
    Return the dependency that reads a request's body as `message`; it raises InvalidArgument.

    With `is_googles`, JSON is read the way Google's parser reads it.

    Bodies are read only from known callers, so a route has to take its caller first. FastAPI's own body binding does
    not fit: it reads bodies of any size before it knows the caller, ignores a body without a JSON content type
    (curl's default), and replaces every error raised while parsing with one of its own.
    """

    async def read(request: Request) -> AsyncIterator[M]:
        async with body_read(request, message.max_bytes) as body:
            read_body = partial(parsed, message, body, is_googles=is_googles)
            if len(body) <= _IN_THE_LOOP_BYTES:
                yield read_body()
            elif len(body) <= LARGE_BODY_BYTES:
                yield await in_own_thread(read_body)
            else:
                yield await _parsed_in_turn(caller_noted(request), read_body)

    return read


async def _parsed_in_turn(caller: Caller, read_body: Callable[[], M]) -> M:
    """
    Parse a large body; if another one is waiting, pause three times as long before parsing it.

    While Python's parser runs, nothing else in the process does.
    """
    async with PARSERS.place(caller.name):
        began = time.monotonic()
        try:
            return await in_own_thread(read_body)
        finally:
            if PARSERS.is_wanted:
                await asyncio.sleep(min(3 * (time.monotonic() - began), MAX_REST_SECONDS))


@asynccontextmanager
async def body_read(request: Request, limit_bytes: int = MAX_DATASET_BYTES) -> AsyncIterator[bytes]:
    """Yield the body of a known caller's request; meanwhile, a large one holds one of the places for large bodies."""
    caller = caller_noted(request)
    require_known(caller)
    async with AsyncExitStack() as held:

        async def hold_place() -> None:
            await held.enter_async_context(LARGE_BODIES.place(caller.name))

        yield await read_limited(request, limit_bytes, on_large=hold_place)


def note_caller(request: Request, caller: Caller) -> Caller:
    """Store the caller of a request for its log line and for reading its body; return the caller."""
    request.state.caller = caller
    if caller.user_id is not None or caller.has_key:
        audit.note_actor(caller.name)
    return caller


def caller_noted(request: Request) -> Caller:
    """Return the stored caller, nobody if there is none."""
    caller: Caller = getattr(request.state, "caller", Caller())
    return caller


async def read_limited(
    request: Request,
    limit_bytes: int = MAX_DATASET_BYTES,
    *,
    on_large: Callable[[], Awaitable[None]] | None = None,
) -> bytes:
    """
    Return the body of a request; raises InvalidArgument as soon as more than the limit has arrived.

    `on_large` is awaited once before more than `LARGE_BODY_BYTES` are stored.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:12]) > limit_bytes:  # more digits than any real length
        raise _too_long(limit_bytes)
    parts, size = [], 0
    try:
        async for part in request.stream():
            before, size = size, size + len(part)
            if size > limit_bytes:
                raise _too_long(limit_bytes)
            if before <= LARGE_BODY_BYTES < size and on_large is not None:
                await on_large()
            parts.append(part)
    except ClientDisconnect:
        raise Cancelled("The client left before it had sent its request.") from None
    return b"".join(parts)


def _too_long(limit_bytes: int) -> InvalidArgument:
    # the old Google client recognizes this error by its first words
    return InvalidArgument(f"Request payload size exceeds the limit: {limit_bytes} bytes.")


def parsed(message: type[M], body: bytes, *, is_googles: bool = True) -> M:
    """Return a body as a message; an empty body is `{}`. Raises BodyInvalid with the path of each wrong field."""
    try:
        value = read_json(body, is_googles=is_googles)
        if not isinstance(value, dict):
            raise InvalidArgument("Invalid JSON payload received. The body must be an object.")
    except InvalidArgument as error:
        raise BodyInvalid(str(error), [{"loc": ["body"], "msg": str(error), "type": "json_invalid"}]) from None
    problems = Problems()
    try:
        made = message.model_validate(value, context=problems)
        # one alternative of a field may have failed although the next one fits, so nothing may be left out because of
        # it
        return made if problems.found < MAX_PROBLEMS else message.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_PROBLEMS]
        detail = [{"loc": ["body", *each["loc"]], "msg": each["msg"], "type": each["type"]} for each in found]
        raise BodyInvalid(_message(error), detail) from None


def _message(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [_problem(problem["loc"], problem["type"], problem["msg"]) for problem in problems[:MAX_PROBLEMS]]
    more = f" Checking stopped after {MAX_PROBLEMS} problems." if len(problems) >= MAX_PROBLEMS else ""
    return f"Invalid JSON payload received. {' '.join(shown)}{more}"


def _problem(place: Sequence[int | str], kind: str, text: str) -> str:
    *parents, last = place or ("",)
    if kind == "extra_forbidden":
        where = f" at '{path_of(parents)}'" if parents else ""
        return f'Unknown name "{last}"{where}: Cannot find field.'
    return f"Invalid value at '{path_of(place)}': {text.removeprefix('Value error, ')}."


Chunks = AsyncIterator[Message | Mapping[str, Any]]

_log = logging.getLogger("tunery.server")


def event_stream(chunks: Chunks) -> StreamingResponse:
    """
    Return chunks as server-sent events.

    At least one client breaks on each of: comments, event names, `[DONE]`, indented JSON, a missing last blank line.
    """
    return StreamingResponse(_events(chunks), media_type="text/event-stream")


def json_array(chunks: Chunks) -> StreamingResponse:
    """Return chunks as the elements of one JSON array, with nothing after the closing bracket, not even a newline."""
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
    """Yield each chunk as one line of JSON; an error in the middle becomes the last line."""
    try:
        async for chunk in chunks:
            yield _line(chunk)
    except TuneryError as error:
        yield _line(envelope(error))
    except Exception as error:  # noqa: BLE001  # the status line has been sent, so the error can only be a chunk
        _log.error("A stream broke off", exc_info=error)
        yield _line(envelope(TuneryError("Internal error encountered.")))


def _line(value: Message | Mapping[str, Any]) -> bytes:
    plain = value.model_dump(mode="json", exclude_none=True) if isinstance(value, Message) else value
    # some clients also end a line of a stream at U+0085, U+2028 and U+2029
    return one_line(json.dumps(plain, ensure_ascii=False, allow_nan=False)).encode()


SERVICE = "generativelanguage.googleapis.com"
RETRY_SECONDS = 5

# HTTP status by google.rpc.Code, as in google/rpc/code.proto
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
    """Answer every error of an app in the envelope, including those of the framework."""
    app.add_exception_handler(TuneryError, _on_tunery_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_wrong_parameter)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, on_unexpected)


def envelope(error: TuneryError, method: str = "") -> dict[str, Any]:
    """Return the error object, in the one format that Google's clients read; `method` is the full name of the rpc."""
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
    """Return the reply for an error."""
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    elif error.reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
        headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    elif isinstance(error, ResourceExhausted | Unavailable):
        headers["Retry-After"] = str(RETRY_SECONDS)
    return JsonReply(envelope(error, method), HTTP_STATUS[error.status], headers)


# These handlers are asynchronous: there may be no free thread.
async def _on_tunery_error(request: Request, error: TuneryError) -> Response:
    error = _unless_deleted(request, error)
    if HTTP_STATUS[error.status] == 500:
        _log.error("%s: %s", _method(request), error, exc_info=error)
    return reply_of(error, _method(request))


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    status = _RPC_STATUS.get(error.status_code, "INTERNAL" if error.status_code >= 500 else "INVALID_ARGUMENT")
    is_said = error.detail != HTTPStatus(error.status_code).phrase
    message = str(error.detail) if is_said else _plain(error.status_code, request)
    body = {"error": {"code": error.status_code, "message": message, "status": status}}
    headers = error.headers if error.status_code != 405 else {"Allow": ", ".join(_methods_at(request))}
    return JsonReply(body, error.status_code, headers)


def _methods_at(request: Request) -> list[str]:
    """Return the methods that the path of a request has; Starlette's own Allow has those of one route only."""
    routes = request.app.routes
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _on_wrong_parameter(request: Request, error: RequestValidationError) -> Response:
    return reply_of(InvalidArgument(" ".join(map(_wrong_parameter, error.errors()))), _method(request))


def _wrong_parameter(problem: Mapping[str, Any]) -> str:
    name = problem["loc"][-1]
    if problem["type"].startswith("int_"):
        return f"{to_snake(name)} must be a whole number, not {problem['input']!r}."
    return f"Invalid value for {name}: {problem['msg']}."


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Log an unhandled error; return the reply, which gives no details."""
    _log.error("%s failed", _method(request), exc_info=error)
    return reply_of(_unless_deleted(request, _named(error)), _method(request))


def _unless_deleted(request: Request, error: TuneryError) -> TuneryError:
    """
    Return NotFound instead of an error with status 500 if the tuned model in question has been deleted in the meantime.
    """
    model_id = request.path_params.get("model_id")
    is_ours = isinstance(error, DataLoss) or type(error) is TuneryError
    if is_ours and model_id is not None and "/tunedModels/" in request.url.path:
        try:
            services_of(request).library.find(split_epoch(model_id)[0])
        except TuneryError as gone:
            return gone if isinstance(gone, NotFound) else error
    return error


def _named(error: Exception) -> TuneryError:
    """Return the message for an unexpected error; errors of the disk and of file descriptors may be temporary."""
    if isinstance(error, ImportError):  # Python remembers a folder that could not be listed for a moment as empty
        importlib.invalidate_caches()
        return Unavailable("A part of tunery could not be loaded. Try again; if that does not help, start it again.")
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return ResourceExhausted("The disk of the server is full. Free some space and try again.")
    if isinstance(error, OSError) and error.errno is not None:
        return Unavailable(f"The server could not read or write a file ({error.strerror}). Try again in a moment.")
    return TuneryError("Internal error encountered. See the server log.")


def _method(request: Request) -> str:
    """Return the full name of the rpc, from the name and tag of its route."""
    route = request.scope.get("route")
    tags = getattr(route, "tags", None) or [""]
    service = _RPC_SERVICES.get(tags[0], "google.ai.generativelanguage.v1beta.ModelService")
    return f"{service}.{getattr(route, 'name', '').removesuffix('Tuned')}"


def _plain(code: int, request: Request) -> str:
    if code == 404:
        return why_not_found(request.url.path)
    return "This path has no such method." if code == 405 else HTTPStatus(code).phrase


def _where(problem: object) -> str:
    values: Mapping[str, Any] = {name: getattr(problem, name) for name in ("row", "column")}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


MAX_FORM_BYTES = 64 * 1024
_FORM_TYPE = "application/x-www-form-urlencoded"

Parameters = dict[str, str]


async def form_of(request: Request) -> Parameters:
    """Return the fields of a web form; raises InvalidArgument if it is malformed, too long, or has a field twice."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await read_limited(request, MAX_FORM_BYTES)
    if body and kind != _FORM_TYPE:
        raise InvalidArgument(f"The body must be a form ({_FORM_TYPE}), not {kind or 'without a type'}.")
    try:
        return parameters_of(body.decode())
    except UnicodeDecodeError:
        raise InvalidArgument("The form is not UTF-8.") from None


def parameters_of(encoded: str) -> Parameters:
    """Return parameters by name, without empty ones; raises InvalidArgument if one is given twice (RFC 6749, 3.1)."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:  # also raised for bytes that are not UTF-8
        raise InvalidArgument("The parameters are not well-formed.") from None
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidArgument(f"The parameter {twice[0]!r} is given more than once.")
    return {name: value for name, value in pairs if value}
