"""Errors over HTTP: one envelope for everything that can go wrong, the framework's own errors included."""

from __future__ import annotations

import errno
import importlib
import json
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from tests.server.api import Api, error_of
from tunery import errors
from tunery.errors import (
    DataLoss,
    DataProblem,
    DatasetInvalid,
    Level,
    OtherCheckpoint,
    ResourceExhausted,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from tunery.server.http import HTTP_STATUS, add_error_handlers, envelope

# google/rpc/code.proto
STATUS = {
    400: {"INVALID_ARGUMENT", "FAILED_PRECONDITION"},
    401: {"UNAUTHENTICATED"},
    403: {"PERMISSION_DENIED"},
    404: {"NOT_FOUND"},
    409: {"ALREADY_EXISTS"},
    429: {"RESOURCE_EXHAUSTED"},
    499: {"CANCELLED"},
    500: {"INTERNAL", "DATA_LOSS"},
    501: {"UNIMPLEMENTED"},
    503: {"UNAVAILABLE"},
    504: {"DEADLINE_EXCEEDED"},
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, TuneryError)
    and kind not in (errors.TuningUnstable, errors.TuningRuined, errors.AnswersRuined)
]


def raising(error: Exception) -> TestClient:
    """Return a client of an application whose one route raises."""
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/")
    def broken() -> None:
        raise error

    @app.get("/{number}")
    def numbered(number: int) -> dict[str, int]:
        return {"number": number}

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_has_its_status(kind: type[TuneryError]) -> None:
    """HTTP status, name of the google.rpc code and the sentence, in a plain object."""
    said = ("The folder", "is wrong") if kind is OtherCheckpoint else ("What is wrong.",)
    made = cast(TuneryError, kind(*said))

    error = error_of(raising(made).get("/"))
    assert error["status"] in STATUS[error["code"]]
    assert error["message"] == str(made)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, "INVALID_ARGUMENT"),
        (404, "NOT_FOUND"),
        (405, "UNIMPLEMENTED"),
        (413, "INVALID_ARGUMENT"),
        (415, "INVALID_ARGUMENT"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
    ],
)
def test_errors_of_the_framework(code: int, status: str) -> None:
    """Errors of Starlette come in the envelope too: `{"detail": ...}` is an unknown error to the old client."""
    error = error_of(raising(HTTPException(code)).get("/"))

    assert (error["code"], error["status"]) == (code, status)
    assert error["message"]


def test_a_wrong_parameter() -> None:
    """FastAPI's 422 becomes 400 INVALID_ARGUMENT with the name of the parameter."""
    error = error_of(raising(TuneryError()).get("/seven"))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert "number" in error["message"]


def test_what_nobody_expected_is_told_without_its_reason() -> None:
    """500 INTERNAL; the text of the exception stays in the log."""
    reply = raising(ValueError("a secret")).get("/")

    error = error_of(reply)
    assert (error["code"], error["status"]) == (500, "INTERNAL")
    assert "secret" not in reply.text


@pytest.mark.parametrize("error", [ResourceExhausted("full"), Unavailable("stopping")])
def test_when_to_come_again(error: TuneryError) -> None:
    """429 and 503 have Retry-After and an equal RetryInfo."""
    reply = raising(error).get("/")

    (detail,) = error_of(reply)["details"]
    assert detail == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "5s"}
    assert reply.headers["retry-after"] == "5"


def test_a_bad_token_is_told_how_to_sign_in() -> None:
    """401 has `WWW-Authenticate: Bearer`."""
    assert raising(Unauthenticated()).get("/").headers["www-authenticate"] == "Bearer"


def test_reasons_are_words_for_programs() -> None:
    """An error with a reason has an ErrorInfo with domain, service and method."""
    (detail,) = envelope(DataLoss("changed"), "a.Service.Method")["error"]["details"]

    assert detail == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "DATA_LOSS",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com", "method": "a.Service.Method"},
    }


def test_problems_of_data_are_violations() -> None:
    """Each problem is a field violation with its place."""
    problem = DataProblem("empty-output", "is empty", Level.ERROR, row=3, column="output")

    (detail,) = envelope(DatasetInvalid("bad", [problem]))["error"]["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert detail["fieldViolations"][0]["field"] == "row 3, column output"


def test_every_status_is_one_of_http() -> None:
    """The map from google.rpc codes is that of code.proto."""
    assert {name: code for code, names in STATUS.items() for name in names} == HTTP_STATUS


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"7", b"null", b"\xff", b'{"a": NaN}', b'{"a" 1}'])
def test_bodies_that_are_no_object(api: Api, body: bytes) -> None:
    """Syntax errors and anything but an object are 400, on every kind of route."""
    for verb, path in (
        ("POST", "/v1beta/tunedModels"),
        ("POST", "/v1beta/models/tiny:generateContent"),
        ("POST", "/v1beta/tunedModels/x/permissions"),
    ):
        error = error_of(api.web.request(verb, path, content=body))
        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT"), (path, body)
        assert error["message"].startswith("Invalid JSON payload received.")


def test_the_envelope_is_indented(api: Api) -> None:
    """As everything else is."""
    reply = api.web.get("/nothing")

    assert reply.text == json.dumps(reply.json(), indent=2) + "\n"


def test_credentials(api: Api) -> None:
    """Nobody 403, a bad token 401, a bad key 400 with its reason, a scope too little 403 with its reason."""
    bad_token = api.client()
    bad_token.headers["authorization"] = "Bearer nonsense"
    keys: dict[str, Any] = {"x-goog-api-key": "AIza-nonsense"}

    nobody = error_of(api.client().get("/v1beta/models"))
    token = error_of(bad_token.get("/v1beta/models"))
    key = error_of(api.client().get("/v1beta/models", headers=keys))
    key_in_query = error_of(api.client().get("/v1beta/models?key=AIza-nonsense"))

    assert (nobody["code"], nobody["status"]) == (403, "PERMISSION_DENIED")
    assert nobody["message"].startswith("Method doesn't allow unregistered callers")
    assert (token["code"], token["status"]) == (401, "UNAUTHENTICATED")
    assert token["message"].startswith("Request had invalid authentication credentials.")
    for error in (key, key_in_query):
        assert (error["code"], error["message"]) == (400, "API key not valid. Please pass a valid API key.")
        assert error["details"][0]["reason"] == "API_KEY_INVALID"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), 503, "Too many open files"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/base.json"), 503, "Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), 429, "The disk of the server is full"),
        (ModuleNotFoundError("No module named 'anyio'"), 503, "could not be loaded"),
        (ZeroDivisionError("a secret"), 500, "Internal error encountered"),
    ],
)
def test_what_may_pass_is_not_an_internal_error(error: Exception, status: int, words: str) -> None:
    """A disk or descriptors that fail for a moment are worth another try; paths and causes stay in the log."""
    reply = raising(error).get("/")

    assert reply.status_code == status
    assert words in reply.json()["error"]["message"]
    assert "/data" not in reply.text
    assert "secret" not in reply.text
    assert status != 503 or "retry-after" in reply.headers


def test_a_folder_that_could_not_be_listed_is_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python remembers such a folder as empty; the reply to the failed import makes it look again."""
    (tmp_path / "late_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(importlib._bootstrap_external._os, "listdir", _refuse)  # type: ignore[attr-defined]
        importlib.invalidate_caches()
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("late_module")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("late_module")

    raising(ModuleNotFoundError("No module named 'late_module'")).get("/")

    assert importlib.import_module("late_module")
    del sys.modules["late_module"]  # hypothesis reads the files of all modules


def _refuse(*_: object) -> NoReturn:
    raise PermissionError(errno.EACCES, "Permission denied")
