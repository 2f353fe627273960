"""
Parameters of paths and queries: resource ids that end before a colon, query names in either case.

REST samples write `page_size`, clients `pageSize`; a verb stands behind a colon, so `{id}:verb` must never be read as
an id. Knows names and numbers; nothing of resources.
"""

from __future__ import annotations

from types import UnionType
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from starlette.convertors import StringConvertor, register_url_convertor

from tunery.errors import InvalidArgument

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
