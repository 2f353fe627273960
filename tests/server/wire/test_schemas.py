"""Google's Schema as JSON Schema: what is kept, and what is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunery.errors import InvalidArgument
from tunery.server.wire.generation import GenerationConfigIn, form_of, json_schema

CASES = Path(__file__).parents[2] / "fixtures/cases/24-json-schema"


def converted(file: str) -> dict[str, Any]:
    """Return the JSON schema of the form that a call asks for."""
    config = json.loads((CASES / file).read_text())["generationConfig"]
    form = form_of(GenerationConfigIn.model_validate(config), None)
    assert form is not None
    return dict(json.loads(form.json_schema or "{}"))


def test_a_map_keeps_the_schema_of_its_values() -> None:
    """`additionalProperties` is a schema of values, or says whether there may be others."""
    extra = converted("gemini-map.json")["properties"]["extra"]

    assert extra["additionalProperties"]["required"] == ["notes"]
    assert json_schema({"type": "OBJECT", "additionalProperties": False})["additionalProperties"] is False
    assert json_schema({"properties": {"a": {}}})["additionalProperties"] is False


def test_optional_parts_and_their_order_are_kept() -> None:
    """Null is a choice of what is nullable; properties come in the order of `propertyOrdering`."""
    schema = converted("gemini-optional.json")

    assert list(schema["properties"]) == ["parts", "chunk"]
    assert {"type": "null"} in schema["properties"]["chunk"]["anyOf"]


def test_a_json_schema_is_passed_on() -> None:
    """`responseJsonSchema`, also by the name of the proto, is taken as it is."""
    schema = converted("gemini-json-schema.json")
    config = GenerationConfigIn.model_validate({"_responseJsonSchema": schema, "responseMimeType": "application/json"})

    assert schema["properties"]["extra"]["additionalProperties"] == {"$ref": "#/$defs/Extra"}
    assert config.response_json_schema == schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "OBJECT", "oneOf": []}, "responseSchema: the keyword 'oneOf'"),
        ({"properties": {"a": {"items": {"uniqueItems": True}}}}, "responseSchema.properties.a.items: the keyword"),
        ({"anyOf": [{"$ref": "#/x"}]}, "responseSchema.anyOf[0]: the keyword '$ref'"),
        ({"additional_properties": {"const": 1}}, "responseSchema.additionalProperties: the keyword 'const'"),
        ({"anyOf": 5}, "responseSchema.anyOf must be a list"),
        ({"required": 5}, "responseSchema.required must be a list"),
        ({"properties": {"a": {}}, "propertyOrdering": 5}, "responseSchema.propertyOrdering must be a list"),
        ({"properties": []}, "responseSchema.properties must be an object"),
        ({"type": "TUPLE"}, "responseSchema.type"),
    ],
)
def test_what_cannot_be_kept_is_refused(schema: dict[str, Any], words: str) -> None:
    """The message names the keyword and its place."""
    with pytest.raises(InvalidArgument) as raised:
        json_schema(schema)

    assert words in str(raised.value)


def test_a_number_format_is_read_over() -> None:
    """It says nothing that the type does not; other formats are passed on."""
    assert json_schema({"type": "INTEGER", "format": "int32"}) == {"type": "integer"}
    assert json_schema({"type": "STRING", "format": "enum", "enum": ["a"]}) == {"type": "string", "enum": ["a"]}
    assert json_schema({"type": "STRING", "format": "email"}) == {"type": "string", "format": "email"}


def test_a_deep_schema_is_refused() -> None:
    """It is no internal error."""
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"items": schema}
    config = GenerationConfigIn(response_mime_type="application/json", response_schema=schema)

    with pytest.raises(InvalidArgument, match="nested too deeply"):
        form_of(config, None)
