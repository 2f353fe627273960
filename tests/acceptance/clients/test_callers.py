"""Clients that only ask: @google/generative-ai and LangChain, against a running server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.full

SCRIPT, CHAIN = "generative-ai-js", "langchain"

Value = Callable[[str, str], Any]

both = pytest.mark.parametrize("client", [SCRIPT, CHAIN])


@both
def test_answers(client: str, value_of: Value) -> None:
    """A tuned model answers."""
    assert value_of(client, "generate.text")["text"]


@both
def test_streams_equal_whole_answers(client: str, value_of: Value) -> None:
    """A streamed answer comes in several pieces that make up the whole one."""
    pieces, *are_equal = value_of(client, "generate.stream")

    assert pieces > 1
    assert all(are_equal)


@both
def test_tokens_are_counted(client: str, value_of: Value) -> None:
    """Tokens of a tuned model's prompt can be counted."""
    assert value_of(client, "count_tokens") > len("one two")


def test_settings_in_javascript(value_of: Value) -> None:
    """Two tokens at most are made where two were asked for."""
    assert value_of(SCRIPT, "generate.settings") == "MAX_TOKENS"


def test_langchain_asks_asynchronously_and_with_a_system_message(value_of: Value) -> None:
    """The asynchronous call gives the same text; a system message is taken."""
    assert value_of(CHAIN, "generate.async") is True
    assert value_of(CHAIN, "generate.system") == "AIMessage"


def test_errors_in_javascript(value_of: Value) -> None:
    """Missing, not shared, bad token, bad key: the status that each has, in the client's own error."""
    missing, credentials = value_of(SCRIPT, "errors.missing"), value_of(SCRIPT, "errors.credentials")

    assert [missing["generate"]["code"], missing["stream"]["code"]] == [404, 404]
    assert value_of(SCRIPT, "errors.key_only")["code"] == 403
    assert [credentials["token"]["code"], credentials["key"]["code"]] == [401, 400]


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ("errors.missing", "GoogleModelNotFoundError"),
        ("errors.key_only", "GooglePermissionDeniedError"),
        ("errors.credentials", "GoogleAuthenticationError"),
    ],
)
def test_errors_in_langchain(behaviour: str, kind: str, value_of: Value) -> None:
    """LangChain recognises what went wrong by status, each as an error of its own."""
    assert value_of(CHAIN, behaviour)["type"] == kind
