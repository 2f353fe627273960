"""The application as a whole: versions, paths, query names and headers that clients send, and its own description."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.server.api import BASE, EXAMPLES, Api, error_of
from tunery.server.app import API_VERSIONS

# what Google's clients and guides send along without needing an answer to it
UNKNOWN_QUERY = {
    "$alt": "json;enum-encoding=int",
    "alt": "json",
    "prettyPrint": "true",
    "fields": "name",
    "$.xgafv": "2",
    "quotaUser": "x",
}
UNKNOWN_HEADERS = {
    "x-goog-user-project": "my-project",
    "x-goog-request-params": "tuned_model.name=x",
    "x-goog-api-client": "genai-py/0.8.6 gl-python/3.11",
    "X-Server-Timeout": "60",
    "User-Agent": "grpc-python",
}


@pytest.mark.parametrize("version", API_VERSIONS)
def test_every_version_shows_the_same(api: Api, version: str) -> None:
    """What one version creates another gets, lists, changes, cancels, shares and deletes."""
    wish = {"trainingData": {"examples": {"examples": EXAMPLES}}}
    body = {"baseModel": f"models/{BASE}", "displayName": "numbers", "tuningTask": wish}
    made = api.web.post(f"/{version}/tunedModels?tunedModelId=numbers", json=body)
    assert made.status_code == 200, made.text

    for other in API_VERSIONS:
        assert api.web.get(f"/{other}/{made.json()['name']}").status_code == 200
        assert api.web.get(f"/{other}/tunedModels/numbers").json()["name"] == "tunedModels/numbers"
        assert len(api.web.get(f"/{other}/tunedModels").json()["tunedModels"]) == 1
        assert api.web.get(f"/{other}/tunedModels/numbers/permissions").status_code == 200
        assert api.web.get(f"/{other}/tunedModels/numbers/operations").status_code == 200
        assert api.web.get(f"/{other}/models").status_code == 200
    assert api.web.patch(f"/{version}/tunedModels/numbers", json={"description": "x"}).status_code == 200
    assert api.web.post(f"/{version}/tunedModels/numbers:cancel").json() == {}
    assert api.web.delete(f"/{version}/tunedModels/numbers").json() == {}


RPCS = [
    ("GET", "models"),
    ("GET", "models/x"),
    ("POST", "tunedModels"),
    ("GET", "tunedModels"),
    ("GET", "tunedModels/x"),
    ("PATCH", "tunedModels/x"),
    ("DELETE", "tunedModels/x"),
    ("GET", "tunedModels/x/operations/y"),
    ("GET", "tunedModels/x/operations"),
    ("POST", "tunedModels/x/operations/y:cancel"),
    ("POST", "tunedModels/x:cancel"),
    ("DELETE", "tunedModels/x/operations/y"),
    ("POST", "tunedModels/x/permissions"),
    ("GET", "tunedModels/x/permissions"),
    ("GET", "tunedModels/x/permissions/y"),
    ("PATCH", "tunedModels/x/permissions/y"),
    ("DELETE", "tunedModels/x/permissions/y"),
    ("POST", "tunedModels/x:transferOwnership"),
    *(
        ("POST", f"{kind}/x:{verb}")
        for kind in ("models", "tunedModels")
        for verb in ("generateContent", "streamGenerateContent", "countTokens", "generateText")
    ),
    ("POST", "models/x:countTextTokens"),
]


@pytest.mark.parametrize("version", API_VERSIONS)
@pytest.mark.parametrize(("verb", "path"), RPCS)
def test_every_method_is_there_in_every_version(api: Api, version: str, verb: str, path: str) -> None:
    """Without credentials each method of the contract refuses: that is, it exists."""
    error = error_of(api.client().request(verb, f"/{version}/{path}", json={}))

    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    assert "Method doesn't allow unregistered callers" in error["message"]


@pytest.mark.parametrize("kind", ["models", "tunedModels"])
def test_generate_text_is_there_in_v1beta2(api: Api, kind: str) -> None:
    """The oldest guides call it there."""
    assert error_of(api.client().post(f"/v1beta2/{kind}/x:generateText", json={}))["code"] == 403


@pytest.mark.parametrize(
    "path", ["/v2/models", "/v1beta", "/nothing", "/v1beta/tunedModels/x:nothing", "/v1beta/models/"]
)
def test_unknown_paths(api: Api, path: str) -> None:
    """404 in the envelope."""
    error = error_of(api.web.get(path))

    assert (error["code"], error["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("PUT", "tunedModels/x", "DELETE, GET, PATCH"),
        ("POST", "models", "GET"),
        ("DELETE", "tunedModels", "GET, POST"),
        ("PUT", "accounts/groups", "GET"),
    ],
)
def test_unknown_verbs(api: Api, verb: str, path: str, allowed: str) -> None:
    """405 in the envelope, and all verbs of the path in `Allow`."""
    reply = api.web.request(verb, f"/v1beta/{path}", json={})

    assert error_of(reply)["code"] == 405
    assert reply.headers["allow"] == allowed


def test_unknown_verbs_in_the_style_of_openai(api: Api) -> None:
    """405 for a path that is there, in the shape of that API; 404 for others."""
    reply = api.web.put("/openai/v1/chat/completions", json={})

    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["error"]["message"] == "/chat/completions takes POST only."
    assert api.web.options("/openai/v1/models").headers["allow"] == "GET"
    assert api.web.put("/openai/v1/nothing", json={}).status_code == 404


@pytest.mark.parametrize("path", ["models/a%0Ab", "models/%0A", "a%0Ab"])
def test_line_breaks_in_paths_in_the_style_of_openai(api: Api, path: str) -> None:
    """They are part of a name like any other character, so the error has the shape of that API."""
    reply = api.web.get(f"/openai/v1/{path}")

    assert reply.status_code == 404
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_what_is_not_known_is_ignored(api: Api) -> None:
    """Parameters and headers that clients add to every call do no harm."""
    api.active("numbers")

    reply = api.web.get("/v1beta/tunedModels/numbers", params=UNKNOWN_QUERY, headers=UNKNOWN_HEADERS)
    assert reply.json()["state"] == "ACTIVE"  # a name, although numbers were asked for


@pytest.mark.parametrize("encoding", ["json;enum-encoding=int", "json", "proto"])
def test_enums_go_out_as_names(api: Api, encoding: str) -> None:
    """Enums are names whatever `$alt` is: google-genai raises on numbers."""
    api.active("numbers")

    listed = api.web.get("/v1beta/tunedModels/numbers/permissions", params={"$alt": encoding}).json()["permissions"]
    assert (listed[0]["role"], listed[0]["granteeType"]) == ("OWNER", "USER")


def test_a_verb_is_not_a_part_of_an_id(api: Api) -> None:
    """`{id}:verb` is never read as `{id}`."""
    api.active("numbers")

    assert error_of(api.web.get("/v1beta/tunedModels/numbers:cancel"))["code"] in (404, 405)
    assert error_of(api.web.delete("/v1beta/tunedModels/numbers:cancel"))["code"] in (404, 405)
    assert api.web.get("/v1beta/tunedModels/numbers").status_code == 200


def test_clients_read_camel_case_only(api: Api) -> None:
    """No name with an underscore goes out, at any depth."""
    api.active("numbers", reader_project_numbers=(7,), description="d", top_k=3)

    for path in ("models", "tunedModels", "tunedModels/numbers/permissions", "tunedModels/numbers/operations"):
        assert _names(api.web.get(f"/v1beta/{path}").json()) & {"learning_rate", "text_input"} == set()
        wrong = {name for name in _names(api.web.get(f"/v1beta/{path}").json()) if re.search(r"[a-z]_[a-z]", name)}
        assert wrong - _settings(api) == set()


def _settings(api: Api) -> set[str]:
    """Return names of the machine's own settings, which are values, not fields."""
    model = api.library.find("numbers")
    return set(model.task.settings) | set(model.task.versions)


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_names, value.values()))
    return set().union(*map(_names, value)) if isinstance(value, list) else set()
