"""
The form of an answer as clients of OpenAI's API ask for it: `response_format` of text, JSON, or JSON of a schema.

Rules are those of platform.openai.com/docs/guides/structured-outputs. The schemas are JSON Schema already and go on as
they are. Knows documents; nothing of grammars.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, Field

from tunery.errors import InvalidArgument
from tunery.server.wire.base import Incoming
from tunery.types import AnswerForm

TEXT, JSON_OBJECT, JSON_SCHEMA = "text", "json_object", "json_schema"


class SnakeIncoming(Incoming):
    """A message that comes in with names in snake_case only."""

    model_config = ConfigDict(alias_generator=None)


class JsonSchemaIn(SnakeIncoming):
    """A schema that the answer shall keep to."""

    name: str = Field(default="", description="Accepted, without effect.")
    description: str = Field(default="", description="Accepted, without effect.")
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool = Field(default=True, description="Accepted, without effect: answers keep to the schema either way.")


class ResponseFormatIn(SnakeIncoming):
    """What the answer shall be: `text`, `json_object` or `json_schema`."""

    type: str = ""
    json_schema: JsonSchemaIn | None = None


def form_of_format(asked: ResponseFormatIn | None) -> AnswerForm | None:
    """Return the form that a response format asks for, None for any text; raises InvalidArgument with the field."""
    if asked is None:
        return None
    if asked.type not in (TEXT, JSON_OBJECT, JSON_SCHEMA):
        known = f"{TEXT}, {JSON_OBJECT}, {JSON_SCHEMA}"
        raise InvalidArgument(f"response_format.type must be one of {known}, not {asked.type!r}.")
    if asked.json_schema is not None and asked.type != JSON_SCHEMA:
        raise InvalidArgument(
            f"response_format.json_schema needs response_format.type {JSON_SCHEMA!r}, not {asked.type!r}."
        )
    if asked.type == TEXT:
        return None
    return AnswerForm(json_schema=json.dumps({"type": "object"} if asked.type == JSON_OBJECT else _schema(asked)))


def _schema(asked: ResponseFormatIn) -> dict[str, Any]:
    if asked.json_schema is None or asked.json_schema.schema_ is None:
        raise InvalidArgument(f"response_format.json_schema.schema must be set for type {JSON_SCHEMA!r}.")
    return asked.json_schema.schema_
