"""Base models over HTTP: what guides look for, and with which limits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.tiny_bases import WINDOW
from tests.server.api import BASE, Api, error_of
from tunery.engine import memory
from tunery.engine.catalog import ALIASES

REQUIRED = {
    "name",
    "version",
    "displayName",
    "description",
    "inputTokenLimit",
    "outputTokenLimit",
    "supportedGenerationMethods",
}


def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    reply = api.web.get("/v1beta/models", params=query)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["models"])


def test_every_field_that_is_always_there(api: Api) -> None:
    """Each entry has what clients read without looking."""
    assert all(set(model) >= REQUIRED for model in listed(api))


def test_the_names_of_old_code_are_listed(api: Api) -> None:
    """Beside the bases that are here; the first entry is one that can be tuned."""
    models = listed(api)

    names = [model["name"] for model in models]
    assert names[0] == f"models/{BASE}"
    assert {f"models/{alias}" for alias in ALIASES} <= set(names)
    assert "createTunedModel" in models[0]["supportedGenerationMethods"]


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_says_what_answers(api: Api, alias: str) -> None:
    """Version, true limits of the weights, and in words which weights they are."""
    model = api.web.get(f"/v1beta/models/{alias}").json()

    assert model["name"] == f"models/{alias}"
    assert model["version"] == "001"
    assert model["inputTokenLimit"] == model["outputTokenLimit"] == WINDOW
    assert (model["temperature"], model["topP"], model["topK"]) == (0.0, 0.95, 64)
    assert "not the model of that name" in model["description"]


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("text-bison-001", ["generateText", "countTextTokens", "createTunedTextModel"]),
        ("gemini-1.0-pro-001", ["generateContent", "countTokens", "createTunedModel"]),
        ("gemini-1.5-flash-001-tuning", ["generateContent", "countTokens", "createTunedModel"]),
    ],
)
def test_methods_by_which_guides_choose(api: Api, name: str, methods: list[str]) -> None:
    """PaLM's name has the methods of its day, the others those of Gemini."""
    assert api.web.get(f"/v1beta/models/{name}").json()["supportedGenerationMethods"] == methods


def test_pages(api: Api) -> None:
    """50 a page; smaller pages hold the same, the last without a token; more than 1000 is 1000."""
    names = [model["name"] for model in listed(api)]
    found, query = [], {"pageSize": "2"}
    while True:
        page = api.web.get("/v1beta/models", params=query).json()
        found += [model["name"] for model in page["models"]]
        if "nextPageToken" not in page:
            break
        query = {"page_size": "2", "page_token": page["nextPageToken"]}

    assert found == names
    assert [model["name"] for model in listed(api, pageSize=5000)] == names


@pytest.mark.parametrize("query", [{"pageSize": "-1"}, {"pageSize": "x"}, {"pageToken": "x"}])
def test_a_list_is_refused(api: Api, query: dict[str, str]) -> None:
    """Wrong sizes and tokens are 400."""
    assert error_of(api.web.get("/v1beta/models", params=query))["code"] == 400


def test_a_missing_model(api: Api) -> None:
    """404 with the name."""
    error = error_of(api.web.get("/v1beta/models/missing"))

    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    assert "models/missing is not found" in error["message"]


def test_a_key_is_enough(api: Api) -> None:
    """An API key lists and gets base models; nobody at all does not."""
    keyed = api.client(key=api.accounts.keys.create("a key")[1])

    assert keyed.get("/v1beta/models").status_code == 200
    assert keyed.get(f"/v1beta/models/{BASE}").status_code == 200
    assert error_of(api.client().get("/v1beta/models"))["code"] == 403


def test_a_base_fits_if_its_tuning_takes_less_than_what_is_free(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it fits follows from the estimate and the free memory; it is left out while that is unknown."""
    needed = listed(api)[0]["tuningMemoryBytes"]
    for free, fits in ((needed, True), (needed - 1, False), (None, None)):
        monkeypatch.setattr(memory, "available_memory", lambda free=free: free)
        assert listed(api)[0].get("fits") is fits
