"""
Errors as the clients read them: one envelope for everything, the framework's own errors included.

Handlers raise what `tunery.errors` names; here, and nowhere else, it becomes HTTP. A list around the object, or
FastAPI's own `{"detail": ...}`, would be an "unknown error" to Google's old client.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tunery.errors import (
    DatasetInvalid,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from tunery.server.replies import JsonReply

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

_log = logging.getLogger("tunery.server")


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
