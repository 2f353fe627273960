"""The OpenAPI document: true enough that types and clients can be made from it."""

from __future__ import annotations

import json
from typing import Any

from tests.server.api import Api


def document(api: Api) -> dict[str, Any]:
    reply = api.client().get("/openapi.json")
    assert reply.status_code == 200
    return dict(reply.json())


def test_every_reference_leads_somewhere(api: Api) -> None:
    """No `$ref` names a schema that is not there."""
    found = document(api)
    schemas = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}

    text = json.dumps(found)
    references = {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    assert references <= schemas


def test_every_operation_has_a_name_of_its_own(api: Api) -> None:
    """Names of operations are those of the rpcs, each once."""
    names = [operation["operationId"] for verbs in document(api)["paths"].values() for operation in verbs.values()]

    assert len(names) == len(set(names))
    assert {"CreateTunedModel", "GetOperation", "StreamGenerateContentTuned", "TransferOwnership"} <= set(names)


def test_bodies_that_handlers_read_themselves_are_described(api: Api) -> None:
    """A creation takes a TunedModel; errors are the envelope, 422 is not promised."""
    operation = document(api)["paths"]["/v1beta/tunedModels"]["post"]

    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/TunedModelIn"}
    assert "422" not in operation["responses"]
    assert "default" in operation["responses"]


def test_one_version_is_described(api: Api) -> None:
    """The others show the same and would only repeat it."""
    assert not [path for path in document(api)["paths"] if path.startswith(("/v1/", "/v1alpha/", "/v1beta3/"))]
