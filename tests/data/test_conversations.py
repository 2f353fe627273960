"""Chat lines of other services."""

from __future__ import annotations

from typing import Any

import pytest

from tunery.data.conversations import RecordError, exchange, is_conversation


def from_conversation(record: dict[str, Any]) -> tuple[str, str]:
    found = exchange(record)
    return found.text_input, found.output


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
    parts = [
        {"type": None, "text": "ab", "image_url": None}
    ]  # as a table with fields for all kinds of parts gives them
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
        ([message("user", [{"type": "image_url"}]), message("assistant", "1")], "holds 'image_url'; only text"),
        ([turn("user", "1"), {"role": "model", "parts": [{"functionCall": {}}]}], "holds 'functionCall'; only text"),
        ([message("user", "1"), message("assistant", [{"type": "tool_use", "id": "1"}])], "holds 'tool_use'"),
        ([message("user", "1"), message("assistant", "2") | {"tool_calls": [{}]}], "has 'tool_calls'; only text"),
        ([message("user", "1"), {"role": "assistant", "content": None, "refusal": "No."}], "has 'refusal'"),
        ([message("user", "1"), {"role": "assistant", "tool_calls": []}], "something other than text"),
        ([message("user", 7), message("assistant", "1")], "something other than text"),
        ([{"role": ["user"], "content": "1"}], "cannot be used"),
    ],
)
def test_what_is_no_single_exchange_is_refused(turns: list[Any], why: str) -> None:
    """The reason is said; nothing is cut."""
    with pytest.raises(RecordError, match=why):
        from_conversation({"messages": turns})


@pytest.mark.parametrize(
    ("record", "text_input"),
    [
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "q"),
        ({"conversations": [{"from": "user", "value": "q"}, {"from": "assistant", "value": "a"}]}, "q"),
        ({"chat_rounds": [message("human", "q"), message("bot", "a")]}, "q"),
        (
            {"system": "S", "conversations": [{"from": "human", "value": "q"}, {"from": "chatgpt", "value": "a"}]},
            "S\n\nq",
        ),
        (
            {"system": [{"type": "text", "text": "S"}], "messages": [message("user", "q"), message("assistant", "a")]},
            "S\n\nq",
        ),
        ({"messages": [message("System", "S"), message("User", "q"), message("Chatbot", "a")]}, "S\n\nq"),
        ({"context": "S", "messages": [{"author": "0", "content": "q"}, {"author": "1", "content": "a"}]}, "S\n\nq"),
        ({"prompt": {"context": "S", "messages": [{"author": "x", "content": "q"}]}, "output": "a"}, "S\n\nq"),
        ({"prompt": {"text": "q"}, "completion": {"text": "a"}}, "q"),
        (
            {"prompt": [message("system", "S"), message("user", "q")], "completion": [message("assistant", "a")]},
            "S\n\nq",
        ),
        ({"prompt": "q", "chosen": [message("user", "q"), message("assistant", "a")], "rejected": []}, "q"),
        (
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": {},
            },
            "q",
        ),
        ({"input": [message("user", "q")], "ideal": "a"}, "q"),
        ({"messages": [message("user", "q")], "output": "a"}, "q"),
        ({"contents": [turn("user", "q"), turn("model", "a")], "systemInstruction": {"parts": []}}, "q"),
    ],
)
def test_forms_of_other_services(record: dict[str, Any], text_input: str) -> None:
    """ShareGPT, Anthropic, Cohere, PaLM, TRL, LLaMA-Factory and OpenAI's evaluations name the same things otherwise."""
    assert is_conversation(record)
    assert from_conversation(record) == (text_input, "a")


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "q", "completion": "a"},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"input": {"text": "q", "page": 1}, "output": "a"},
        {"conversations": ["a", "b"]},
        {"dialog": [{"a": 1}]},
        {"context": "c", "question": "q", "answer": "a"},
    ],
)
def test_plain_fields_are_no_conversation(record: dict[str, Any]) -> None:
    """They are columns."""
    assert not is_conversation(record)


def test_unknown_fields_of_messages_are_named() -> None:
    """The reasoning beside an answer is a thought, a name is not used."""
    found = exchange(
        {"messages": [message("user", "q") | {"name": "Ada"}, message("assistant", "a") | {"reasoning": "h"}]}
    )

    assert (found.output, found.thoughts, found.unused) == ("a", ("reasoning",), {"name"})


def test_a_column_named_messages_is_no_conversation() -> None:
    """Only a list of objects is one."""
    assert not is_conversation({"messages": "hello"})
    assert not is_conversation({"messages": ["a", "b"], "output": ["c", "d"]})
    assert not is_conversation({"text_input": "a"})
