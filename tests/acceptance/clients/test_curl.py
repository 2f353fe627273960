"""The published guide for REST, by curl in a shell, against a running server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CURL = "curl"

Value = Callable[[str, str], Any]


def test_the_body_of_the_guide_is_taken(value_of: Value) -> None:
    """Trailing commas and snake_case: an operation of 38 steps on a model named after its display name."""
    operation = value_of(CURL, "create.dicts")

    assert operation["metadata"]["totalSteps"] == 38
    assert operation["metadata"]["tunedModel"].startswith("tunedModels/number-generator-model-")
    assert operation["name"].startswith(operation["metadata"]["tunedModel"] + "/operations/")
    assert operation["metadata"]["@type"].endswith("v1beta.CreateTunedModelMetadata")


def test_the_base_of_the_guide_is_listed(value_of: Value) -> None:
    """The guide's base is one of the models."""
    assert "models/gemini-1.0-pro-001" in value_of(CURL, "models.list")


def test_it_is_polled_on_another_version(value_of: Value) -> None:
    """Created on v1beta, polled on v1: percent comes with snapshots, and 100 at the end."""
    first, last, state = value_of(CURL, "progress.state")

    assert (first[0] is None) == (first[1] == 0)
    assert last == [100.0, 38]
    assert state == "ACTIVE"


def test_state_is_found_by_grep(value_of: Value) -> None:
    """`grep state` prints one line with the state."""
    assert value_of(CURL, "get.grep_state") == '  "state": "ACTIVE",\n'


def test_answers(value_of: Value) -> None:
    """An answer with one candidate, its role and a reason to end."""
    (candidate,) = value_of(CURL, "generate.text")["candidates"]

    assert candidate["content"]["role"] == "model"
    assert candidate["finishReason"] in ("STOP", "MAX_TOKENS")


def test_a_stream_is_the_whole_answer(value_of: Value) -> None:
    """Its chunks together are the text of the answer."""
    whole = value_of(CURL, "generate.text")["candidates"][0]["content"]["parts"][0]["text"]
    chunks = value_of(CURL, "generate.stream")

    assert len(chunks) > 1
    assert "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks) == whole


def test_update_list_and_count(value_of: Value) -> None:
    """The description changes, the list has the model, tokens are counted."""
    assert value_of(CURL, "update.mask") == "This is my model."
    assert value_of(CURL, "create.dicts")["metadata"]["tunedModel"] in value_of(CURL, "list")
    assert value_of(CURL, "count_tokens")["totalTokens"] > 0


def test_a_key_in_the_address_asks_what_everyone_may(value_of: Value) -> None:
    """With `?key=` a model that is shared with everyone gives the same answer."""
    assert value_of(CURL, "permissions.create")["granteeType"] == "EVERYONE"
    assert value_of(CURL, "generate.by_key")["candidates"] == value_of(CURL, "generate.text")["candidates"]


def test_cancel(value_of: Value) -> None:
    """`{}` at once, then code 1."""
    assert value_of(CURL, "cancel") == [{}, 1]


def test_errors(value_of: Value) -> None:
    """A key cannot tune: the famous 403; a model that is not there: 404 with the original's sentence."""
    status, error = value_of(CURL, "errors.key_only")
    assert (status, error["status"]) == (403, "PERMISSION_DENIED")
    assert error["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"

    status, error = value_of(CURL, "errors.missing")
    assert (status, error["message"]) == (404, "Tuned model tunedModels/missing does not exist.")


def test_delete(value_of: Value) -> None:
    """`{}`, then 404."""
    assert value_of(CURL, "delete") == [{}, 404]
