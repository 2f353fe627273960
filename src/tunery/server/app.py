"""
The web application: all routes under each API version, the Studio's files, and the OpenAPI document.

`serve.py` starts and stops the services it is made from. Only /v1beta is described; the other versions have the same
resources.
"""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from typing import Any, ClassVar

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.datastructures import Headers
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from tunery import __version__
from tunery.server import (
    accounts,
    bases,
    datasets,
    decisions,
    exports,
    generation,
    models,
    monitoring,
    oauth,
    openai,
    prompts,
    reports,
    sign_in,
)
from tunery.server.http import BODIES, SCHEMA_REFERENCE, Services, add_error_handlers
from tunery.server.monitoring import RequestLog
from tunery.server.security import Guards, caller_of
from tunery.server.shares import Slowdown

# Clients of different years default to different versions; all show the same resources.
API_VERSIONS = ("v1beta", "v1", "v1alpha", "v1beta3")
DESCRIBED_VERSION = "v1beta"


def make_app(services: Services, *, slows_down: bool = False) -> FastAPI:
    """Return the application that answers with these services; see `Slowdown`."""
    app = FastAPI(
        title="tunery",
        version=__version__,
        description="The Gemini tuning API on your own machine.",
        openapi_url="/openapi.json",
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # routes are named after the rpcs
    )
    app.state.services = services
    app.state.metrics = monitoring.Metrics(services)
    identity = [Depends(caller_of)]  # this has to come first, above all before the body is read
    for version in API_VERSIONS:
        for router in _routers():
            is_described = version == DESCRIBED_VERSION
            app.include_router(router, prefix=f"/{version}", dependencies=identity, include_in_schema=is_described)
    app.include_router(generation.text_router, prefix="/v1beta2", dependencies=identity, include_in_schema=False)
    for router in (monitoring.health_router, monitoring.metrics_router):
        app.include_router(router)
    app.include_router(decisions.router, prefix="/v1")
    for path in openai.OPENAI_PATHS:
        app.include_router(openai.router, prefix=path, include_in_schema=path == openai.OPENAI_PATHS[0])
    add_frontend(app)
    for router in (accounts.router, oauth.router, sign_in.router):
        app.include_router(router)
    app.add_middleware(_PlainNames)
    app.add_middleware(Guards, address=services.address)
    if slows_down:
        app.add_middleware(Slowdown)
    app.add_middleware(RequestLog, metrics=app.state.metrics)  # outermost, to see what the guards refuse
    add_error_handlers(app)
    add_openapi(app)
    return app


class _PlainNames:
    """
    The ASGI middleware that accepts `models/tunedModels/x`, which older versions of LangChain send, as the name of a
    tuned model.
    """

    _TWICE = re.compile(r"(/v1\w*)/(?:models/|tunedModels/(?=tunedModels/))+((?:models|tunedModels)/.*)")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (found := self._TWICE.fullmatch(scope["path"])):
            scope["path"] = f"{found[1]}/{found[2]}"
        await self._app(scope, receive, send)


def _routers() -> tuple[APIRouter, ...]:
    # the more specific first: `{id}:verb` before `{id}`
    return (
        generation.router,
        generation.text_router,
        exports.router,
        models.operations_router,
        models.permissions_router,
        reports.evaluations_router,
        reports.data_checks_router,
        reports.data_curves_router,
        reports.cancel_router,
        models.examples_router,
        models.router,
        models.bases_router,
        bases.router,
        bases.list_router,
        datasets.router,
        prompts.router,
        monitoring.info_router,
    )


STUDIO = Path(__file__).parent / "studio"

# React Aria writes one style element (touch-action of what is pressed); the browser tests fail if that text changes.
_REACT_ARIA_STYLE = "'sha256-38RhXrc7EdReTKsOm23ZPOCUgniTUUcjky8QOOrQx6o='"
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_REACT_ARIA_STYLE}; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_NOT_BUILT = """<!doctype html><title>tunery</title><h1>The Studio was not built</h1>
<p>The API works without it. To build the Studio, run <code>make studio</code> in the source folder
and start the server again.</p>"""


def add_frontend(app: FastAPI, folder: Path = STUDIO) -> None:
    """Serve the Studio, or a page with the command that builds it."""

    @app.get("/", include_in_schema=False)
    @app.get("/studio", include_in_schema=False)
    def root() -> Response:
        return RedirectResponse("/studio/")

    if (folder / "assets").is_dir():
        app.mount("/studio/assets", _Hashed(directory=folder / "assets"))
        app.mount("/studio/samples", StaticFiles(directory=folder / "samples"))

    @app.get("/studio/{page:path}", include_in_schema=False)
    def studio(page: str, _request: Request) -> Response:
        if not (folder / "index.html").is_file():
            return HTMLResponse(_NOT_BUILT, headers=_HEADERS)
        file = folder / ("icon.svg" if page == "icon.svg" else "index.html")  # the browser renders the pages
        return FileResponse(file, headers=_HEADERS)


class _Hashed(StaticFiles):
    """
    Files whose names change with their content, so browsers may cache them forever.

    The build also writes each file compressed, under its name with an additional ending.
    """

    _ENDINGS: ClassVar = {"br": ".br", "gzip": ".gz"}  # the smallest first

    async def get_response(self, path: str, scope: Scope) -> Response:
        accepted = _accepted_codings(Headers(scope=scope).get("accept-encoding", ""))
        coding = next((name for name in self._ENDINGS if name in accepted and self._has(path, name)), None)
        reply = await super().get_response(path + self._ENDINGS.get(coding or "", ""), scope)
        if coding is not None:
            reply.headers["Content-Encoding"] = coding
            reply.headers["Content-Type"] = mimetypes.guess_type(path)[0] or "application/octet-stream"
        reply.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        reply.headers["Vary"] = "Accept-Encoding"
        return reply

    def _has(self, path: str, coding: str) -> bool:
        return self.lookup_path(path + self._ENDINGS[coding])[1] is not None


def _accepted_codings(header: str) -> set[str]:
    """Return the codings that a client accepts (RFC 9110, 12.5.3), without `*`, which no browser sends."""
    codings = (part.partition(";") for part in header.lower().split(","))
    return {name.strip() for name, _, weight in codings if weight.replace(" ", "") not in _NEVER}


_NEVER = {"q=0", "q=0.0", "q=0.00", "q=0.000"}


_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


def add_openapi(app: FastAPI) -> None:
    """Let an app describe itself, request bodies included."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if operation["operationId"] not in _DECISIONS:
                operation["responses"].pop("422", None)
            _add_security_and_errors(path, operation)
            for parameter in operation.get("parameters", []):
                _plain_parameter(parameter)
    _, definitions = models_json_schema(
        [(body, "validation") for body in BODIES.values()], by_alias=True, ref_template=SCHEMA_REFERENCE
    )
    components = document.setdefault("components", {})
    components |= {"securitySchemes": _SECURITY_SCHEMES, "responses": _error_responses()}
    schemas = components.setdefault("schemas", {})
    schemas.update(definitions.get("$defs", {}))
    for schema in schemas.values():
        _leave_out_null(schema)
    schemas.update(_ERROR_SCHEMAS)
    return document


_SECURITY_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "Pages of the Studio send a cookie instead."},
    "key": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
    "keyInAddress": {"type": "apiKey", "in": "query", "name": "key"},
}
_TOKEN: list[dict[str, list[str]]] = [{"token": []}]
_TOKEN_OR_KEY = [*_TOKEN, {"key": []}, {"keyInAddress": []}]
_OPEN = {"GetServerInfo", "GetMe"}  # these headers identify the caller
_UNGUARDED = {"GetHealth", "GetReadiness"}
_DECISIONS = {"CreateDecision", "CreateOpenAIDecision"}
_OPENAI_TAG = openai.router.tags[0]
_OPEN_ROUTERS = (
    generation.router, generation.text_router, models.bases_router, bases.list_router, decisions.router,
)  # fmt: skip
_FOR_KEYS = {_OPENAI_TAG, *(tag for router in _OPEN_ROUTERS for tag in router.tags)}

_ERRORS = {
    "400": "The request is not valid; `message` says what is wrong and where.",
    "401": "The token is invalid or has expired.",
    "403": "The caller has no credentials, or they do not allow this.",
    "404": "The requested resource does not exist.",
    "409": "The id is taken, or the resource has been changed by another request.",
    "429": "Too many requests; `Retry-After` says when to try again.",
    "5XX": "The server failed, or cannot answer at the moment.",
}
_MAY_MISS = {
    "CreateTunedModel",
    "CreateSetupLink",
    "CreateKey",
    "CreateChatCompletion",
    "CreateCompletion",
    *_DECISIONS,
}
_MAY_CLASH = {"CreateTunedModel", "CreatePermission", "CreateUser", "CreateKey"}
_ERROR_SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "status"],
                "properties": {
                    "code": {"type": "integer", "description": "The HTTP status."},
                    "message": {"type": "string"},
                    "status": {"type": "string", "description": "The name of the google.rpc.Code."},
                    "details": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
                },
            }
        },
    },
    "OpenAIError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    },
}


def _add_security_and_errors(path: str, operation: dict[str, Any]) -> None:
    name, tag = operation["operationId"], operation["tags"][0]
    if name in _UNGUARDED:
        operation["security"] = []
    elif name in _OPEN:
        operation["security"] = [{}, *_TOKEN_OR_KEY]
    else:
        operation["security"] = _TOKEN_OR_KEY if tag in _FOR_KEYS else _TOKEN
    left_out = {"401", "429"} if name in _UNGUARDED else set()
    if "{" not in path and name not in _MAY_MISS:
        left_out.add("404")
    if name not in _MAY_CLASH:
        left_out.add("409")
    prefix = "OpenAI" if tag == _OPENAI_TAG else "Error"
    for status in _ERRORS.keys() - left_out:
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{prefix}{status}"})
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _error_responses() -> dict[str, dict[str, Any]]:
    return {
        f"{prefix}{status}": {
            "description": description,
            "content": {"application/json": {"schema": {"$ref": SCHEMA_REFERENCE.format(model=schema)}}},
        }
        for prefix, schema in (("Error", "Error"), ("OpenAI", "OpenAIError"))
        for status, description in _ERRORS.items()
    }


def _plain_parameter(parameter: dict[str, Any]) -> None:
    if parameter["in"] == "query":
        kinds = parameter["schema"].get("anyOf", [parameter["schema"]])  # the alternatives are a type and null
        parameter["schema"] = {"type": kinds[0]["type"]}


def _leave_out_null(schema: dict[str, Any]) -> None:
    """Describe a field that may be None as one that may be missing: null is never sent, and means not set."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        kinds = field.get("anyOf", [])
        others = [kind for kind in kinds if kind != {"type": "null"}]
        if len(others) < len(kinds):
            field.pop("anyOf")
            field.update(others[0] if len(others) == 1 else {"anyOf": others})
            if name in required:
                required.remove(name)
