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
    """No `$ref` names what is not there."""
    found = document(api)
    parts = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in found["components"][kind]}

    text = json.dumps(found)
    references = {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    assert references <= parts


def test_every_operation_has_a_name_of_its_own(api: Api) -> None:
    """Names of operations are those of the rpcs, each once."""
    names = [operation["operationId"] for verbs in document(api)["paths"].values() for operation in verbs.values()]

    assert len(names) == len(set(names))
    assert {"CreateTunedModel", "GetOperation", "StreamGenerateContentTuned", "TransferOwnership"} <= set(names)


def test_bodies_that_handlers_read_themselves_are_described(api: Api) -> None:
    """A creation takes a TunedModel."""
    operation = document(api)["paths"]["/v1beta/tunedModels"]["post"]

    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/TunedModelIn"}


def test_errors_are_described_by_status(api: Api) -> None:
    """A creation promises the statuses it can have, each with the envelope; 422 of the framework is not among them."""
    found = document(api)
    responses = found["paths"]["/v1beta/tunedModels"]["post"]["responses"]

    assert set(responses) == {"200", "400", "401", "403", "404", "409", "429", "5XX"}
    assert responses["404"] == {"$ref": "#/components/responses/Error404"}
    envelope = found["components"]["responses"]["Error404"]["content"]["application/json"]["schema"]
    assert envelope == {"$ref": "#/components/schemas/Error"}


def test_other_statuses_are_described_too(api: Api) -> None:
    """An operation may be unchanged, and a server may not be ready."""
    paths = document(api)["paths"]

    assert "304" in paths["/v1beta/tunedModels/{model_id}/operations/{operation_id}"]["get"]["responses"]
    assert "HealthOut" in json.dumps(paths["/readyz"]["get"]["responses"]["503"])


def test_operations_say_which_credentials_they_take(api: Api) -> None:
    """Base models answer keys, tuned models are changed with tokens, and health needs neither."""
    paths = document(api)["paths"]

    assert [set(way) for way in paths["/v1beta/models"]["get"]["security"]] == [{"token"}, {"key"}, {"keyInAddress"}]
    assert paths["/v1beta/tunedModels"]["post"]["security"] == [{"token": []}]
    assert paths["/v1beta/serverInfo"]["get"]["security"][0] == {}
    assert paths["/healthz"]["get"]["security"] == []


def test_one_version_is_described(api: Api) -> None:
    """The others show the same and would only repeat it; decisions are at /v1 because their API is."""
    others = [path for path in document(api)["paths"] if path.startswith(("/v1/", "/v1alpha/", "/v1beta3/"))]
    assert others == ["/v1/systemone"]
