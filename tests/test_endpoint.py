"""Requests to an old model's endpoint, and its failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.provider import KEY, Provider, providing
from tunery.errors import InvalidArgument, PermissionDenied
from tunery.old_models import Blocked, Endpoint, OldAnswer, OldModel, Style


@pytest.fixture
def address() -> Iterator[str]:
    """Return the address of a provider."""
    with providing() as address:
        yield address


def test_limits_and_failures_are_retried(address: str) -> None:
    """The wait is the one the endpoint requests, otherwise it doubles."""
    waited: list[float] = []
    Provider.failures = [(429, {"retry-after": "7"}), (500, {}), (503, {})]
    old = OldModel(Endpoint(address, Style.OPENAI, "old", KEY, "K"), 1e9, sleep=waited.append)

    answer = old.ask("1")
    old.close()

    assert (answer.text, [wait for wait in waited if wait > 0.5]) == ("2", [7.0, 2.0, 4.0])


def test_a_refused_key_ends_the_run(address: str) -> None:
    """The message names the environment variable and does not contain the key."""
    Provider.failures = [(401, {})]
    old = OldModel(Endpoint(address, Style.OPENAI, "old", KEY, "MY_KEY"), 1e9)

    with pytest.raises(PermissionDenied, match=r"the key in \$MY_KEY") as raised:
        old.ask("1")
    old.close()

    assert KEY not in str(raised.value)


def test_a_key_is_not_sent_unencrypted() -> None:
    """Plain HTTP is accepted for this machine only."""
    with pytest.raises(InvalidArgument, match="unencrypted"):
        Endpoint("http://example.com/v1", Style.OPENAI, "old", KEY, "K")


def endpoint(style: Style) -> Endpoint:
    return Endpoint("https://example.com/v1", style, "old", KEY, "K")


def chat(content: object, **choice: object) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content}, **choice}]}


def candidate(*parts: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **fields}]}


@pytest.mark.parametrize(
    ("style", "reply", "answer"),
    [
        (Style.OPENAI, chat("billing", finish_reason="stop"), OldAnswer("billing", "stop")),
        (Style.OPENAI, chat("bill", finish_reason="length"), OldAnswer("bill", "MAX_TOKENS")),
        (Style.OPENAI, chat("bill", finish_reason="content_filter"), OldAnswer("bill", "content_filter")),
        (Style.OPENAI, chat([{"type": "text", "text": "bill"}, {"type": "text", "text": "ing"}]), OldAnswer("billing")),
        (Style.OPENAI, chat([{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}]), OldAnswer("a")),
        (Style.GEMINI, candidate({"text": "bill"}, {"text": "ing"}, finishReason="STOP"), OldAnswer("billing", "STOP")),
        (
            Style.GEMINI,
            candidate({"text": "I think. ", "thought": True}, {"text": "bill"}, finishReason="MAX_TOKENS"),
            OldAnswer("bill", "MAX_TOKENS"),
        ),
    ],
)
def test_a_reply_is_its_text_and_why_it_ended(style: Style, reply: object, answer: OldAnswer) -> None:
    """Parts are joined, thoughts left out, and a cut answer says MAX_TOKENS whatever the endpoint calls it."""
    assert endpoint(style).answer(reply) == answer


@pytest.mark.parametrize(
    ("style", "reply"),
    [
        (Style.OPENAI, chat(None, finish_reason="tool_calls")),
        (Style.OPENAI, {"choices": [None]}),
        (Style.OPENAI, [1]),
        (Style.GEMINI, candidate({"text": "I think.", "thought": True}, finishReason="MAX_TOKENS")),
        (Style.GEMINI, {"candidates": [{"finishReason": "SAFETY"}]}),
        (Style.GEMINI, {"promptFeedback": {"blockReason": "SAFETY"}}),
    ],
)
def test_a_reply_without_text_is_no_answer(style: Style, reply: object) -> None:
    """The finish reason is said if there is one."""
    with pytest.raises(Blocked, match=r"returned no text( \(finish reason (tool_calls|MAX_TOKENS|SAFETY)\))?\."):
        endpoint(style).answer(reply)
