"""
The form of an answer on the wire: JSON mode, schemas in Google's own dialect, enums, and the outputs of the examples.

Google's Schema is a part of OpenAPI's with types in capitals (google/ai/generativelanguage/v1beta/content.proto). Knows
documents; nothing of grammars.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tunery.data.outputs import OutputContract
from tunery.errors import InvalidArgument
from tunery.server.wire.generation import GenerationConfigIn
from tunery.types import AnswerForm

JSON, ENUM = "application/json", "text/x.enum"
_ANY_JSON: dict[str, Any] = {"anyOf": [{"type": "object"}, {"type": "array"}]}
_PLAIN = ("", "text/plain")
_TYPES = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object", 7: "null"}
_KEPT = {  # what means the same in JSON Schema, by its name there
    "description": "description",
    "enum": "enum",
    "minItems": "minItems",
    "maxItems": "maxItems",
    "minLength": "minLength",
    "maxLength": "maxLength",
    "minProperties": "minProperties",
    "maxProperties": "maxProperties",
    "minimum": "minimum",
    "maximum": "maximum",
    "pattern": "pattern",
}
_FORMATS = ("date", "date-time", "time")


def form_of(config: GenerationConfigIn, outputs: OutputContract | None) -> AnswerForm | None:
    """
    Return the form that a call asks for, None for any text; `outputs` are those of the tuned model that is asked.

    Raises InvalidArgument for a form that makes no sense, FailedPrecondition if the examples have no closed form.
    """
    form = _asked_form(config, outputs)
    if form is None:
        return None
    given = {"none_below": config.none_below, "none_label": config.none_label}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(form, **changes)


def json_schema(schema: Any, place: str = "responseSchema") -> dict[str, Any]:
    """Return a Schema of Google's as JSON Schema; raises InvalidArgument with the place of what cannot be read."""
    if not isinstance(schema, dict):
        raise InvalidArgument(f"{place} must be an object.")
    given = {_camel(key): value for key, value in schema.items() if value is not None}
    found = {_KEPT[key]: _number(value) for key, value in given.items() if key in _KEPT}
    if "anyOf" in given:
        found["anyOf"] = [json_schema(part, f"{place}.anyOf[{n}]") for n, part in enumerate(given["anyOf"])]
    if (kind := given.get("type")) is not None:
        found["type"] = _type(kind, place)
    if given.get("format") in _FORMATS:
        found["format"] = given["format"]
    if "items" in given:
        found["items"] = json_schema(given["items"], f"{place}.items")
    if "properties" in given:
        found |= _properties(given, place)
    return {"anyOf": [found, {"type": "null"}]} if given.get("nullable") else found


def _asked_form(config: GenerationConfigIn, outputs: OutputContract | None) -> AnswerForm | None:
    kind = config.response_mime_type or ""
    if config.constrain_to_training_outputs:
        return _training_form(outputs)
    schema = config.response_json_schema
    if schema is None and config.response_schema is not None:
        schema = json_schema(config.response_schema)
    if kind == ENUM:
        return AnswerForm(labels=_choices(schema))
    if kind == JSON:
        return AnswerForm(json_schema=json.dumps(_ANY_JSON if schema is None else schema))
    if kind not in _PLAIN:
        raise InvalidArgument(f"responseMimeType must be text/plain, {JSON} or {ENUM}, not {kind!r}.")
    if schema is not None:
        raise InvalidArgument(f"responseSchema needs responseMimeType {JSON} or {ENUM}.")
    return None


def _training_form(outputs: OutputContract | None) -> AnswerForm:
    if outputs is None:
        raise InvalidArgument("constrainToTrainingOutputs is for tuned models; a base has no training outputs.")
    return outputs.closed_form()


def _choices(schema: Any) -> tuple[str, ...]:
    choices = schema.get("enum") if isinstance(schema, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, str) for choice in choices):
        raise InvalidArgument(f"{ENUM} needs a responseSchema with an enum of texts.")
    return tuple(choices)


def _properties(given: dict[str, Any], place: str) -> dict[str, Any]:
    properties = given["properties"]
    if not isinstance(properties, dict):
        raise InvalidArgument(f"{place}.properties must be an object.")
    order = [key for key in given.get("propertyOrdering", ()) if key in properties]
    keys = [*order, *(key for key in properties if key not in order)]
    return {
        "properties": {key: json_schema(properties[key], f"{place}.properties.{key}") for key in keys},
        "required": list(given.get("required", ())),
        "additionalProperties": False,
    }


def _type(kind: Any, place: str) -> str:
    name = _TYPES.get(kind, "") if isinstance(kind, int) else str(kind).lower()
    if name not in _TYPES.values():
        raise InvalidArgument(f"{place}.type is {kind!r}; it must be one of {', '.join(_TYPES.values())}.")
    return name


def _number(value: Any) -> Any:
    """Return an int64 that came as a text as a number."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)
