"""
The JSON schema that some values have in common, and how they were written.

Objects keep the order of their keys; a key that some lack is optional; few different texts become an enum. Knows JSON
values; nothing of grammars.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

MAX_CHOICES = 20
MIN_ROWS_PER_CHOICE = 3.0
_STYLES = ((", ", ": "), (",", ":"))


def shape_of_values(values: Sequence[Any]) -> dict[str, Any]:
    """Return a JSON schema that all these values satisfy; at least one value."""
    kinds = sorted({_kind(value) for value in values})
    if kinds == ["integer", "number"]:
        return {"type": "number"}
    if len(kinds) > 1:
        parts = [[value for value in values if _kind(value) == kind] for kind in kinds]
        return {"anyOf": [shape_of_values(part) for part in parts]}
    if kinds == ["object"]:
        return _object(values)
    if kinds == ["array"]:
        items = [item for value in values for item in value]
        return {"type": "array", "items": shape_of_values(items)} if items else {"type": "array", "maxItems": 0}
    if kinds == ["string"]:
        return _string(values)
    return {"type": kinds[0]}


def separators_of(texts: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Return how these values were written, as llguidance's options: on one line with or without blanks, or freely."""
    for item, key in _STYLES:
        written = [_dumped(value, item, key) for value in values]
        if written == list(texts):
            return {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
    return {"whitespace_flexible": True}


def _dumped(value: Any, item: str, key: str) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(item, key))


def _kind(value: Any) -> str:
    names: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def _object(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for value in values for key in value))
    properties = {key: shape_of_values([value[key] for value in values if key in value]) for key in keys}
    required = [key for key in keys if all(key in value for value in values)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _string(values: Sequence[str]) -> dict[str, Any]:
    choices = list(dict.fromkeys(values))
    is_closed = len(choices) <= MAX_CHOICES and len(values) >= MIN_ROWS_PER_CHOICE * len(choices)
    return {"type": "string", "enum": choices} if is_closed else {"type": "string"}
