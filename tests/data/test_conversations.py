"""Chat lines of other services."""

from __future__ import annotations

from typing import Any

import pytest

from tunery.data.json_records import RecordError, from_conversation, is_conversation


def message(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def turn(role: str, *texts: str) -> dict[str, object]:
    return {"role": role, "parts": [{"text": text} for text in texts]}


def test_openai_lines_are_question_and_answer() -> None:
    """A user and an assistant message make an example."""
    assert from_conversation({"messages": [message("user", "1"), message("assistant", "2")]}) == ("1", "2")


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_message_stands_before_the_question(role: str) -> None:
    """It becomes part of the input, with an empty line between."""
    record = {"messages": [message(role, "Be brief."), message("user", "1"), message("assistant", "2")]}

    assert from_conversation(record) == ("Be brief.\n\n1", "2")


def test_openai_parts_are_joined() -> None:
    """Content may be a list of text parts."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert from_conversation({"messages": [message("user", parts), message("assistant", "c")]}) == ("ab", "c")


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize("instruction", ["Be brief.", turn("system", "Be brief."), {"parts": {"text": "Be brief."}}])
def test_vertex_lines_are_question_and_answer(name: str, instruction: object) -> None:
    """Contents with parts, and a system instruction in each of its forms."""
    record = {name: instruction, "contents": [turn("user", "1", "0"), turn("model", "11")]}

    assert from_conversation(record) == ("Be brief.\n\n10", "11")


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([message("user", "1"), message("assistant", "2")] * 2, "4 messages; only one question with one answer"),
        ([message("user", "1")], "the answer is missing"),
        ([message("assistant", "1")], "the question is missing"),
        ([], "the answer is missing"),
        ([message("assistant", "1"), message("user", "2")], "the answer comes before the question"),
        ([message("tool", "1"), message("user", "2")], "the role 'tool' cannot be used"),
        ([message("user", [{"type": "image_url"}]), message("assistant", "1")], "something other than text"),
        ([message("user", "1"), {"role": "assistant", "tool_calls": []}], "something other than text"),
        ([message("user", 7), message("assistant", "1")], "something other than text"),
        ([{"role": ["user"], "content": "1"}], "cannot be used"),
    ],
)
def test_what_is_no_single_exchange_is_refused(turns: list[Any], why: str) -> None:
    """The reason is said; nothing is cut."""
    with pytest.raises(RecordError, match=why):
        from_conversation({"messages": turns})


def test_a_column_named_messages_is_no_conversation() -> None:
    """Only a list of objects is one."""
    assert not is_conversation({"messages": "hello"})
    assert not is_conversation({"messages": ["a", "b"], "output": ["c", "d"]})
    assert not is_conversation({"text_input": "a"})
