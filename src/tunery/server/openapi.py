"""
The OpenAPI document of the server: what FastAPI finds out, and the bodies that handlers read themselves.

Only /v1beta is described; the other versions show the same resources. Knows routes and messages, no services.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from tunery.server.parameters import BODIES, SCHEMA_REFERENCE


def add_openapi(app: FastAPI) -> None:
    """Let an app describe itself with the bodies of its requests."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].setdefault("default", {"description": "The error envelope."})
            operation["responses"].pop("422", None)
    _, definitions = models_json_schema(
        [(body, "validation") for body in BODIES.values()], by_alias=True, ref_template=SCHEMA_REFERENCE
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions.get("$defs", {}))
    for schema in schemas.values():
        _leave_out_null(schema)
    return document


def _leave_out_null(schema: dict[str, Any]) -> None:
    """Say of a field that may be None that it may be missing: null is never sent, and means not set."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        kinds = field.get("anyOf", [])
        others = [kind for kind in kinds if kind != {"type": "null"}]
        if len(others) < len(kinds):
            field.pop("anyOf")
            field.update(others[0] if len(others) == 1 else {"anyOf": others})
            if name in required:
                required.remove(name)
