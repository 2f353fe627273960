"""
Chat lines of other tuning services to one input and one output.

Understood are OpenAI's `{"messages": [...]}` and Vertex AI's `{"contents": [...], "systemInstruction": ...}`. One
question and one answer make an example; a system text is put in front of the question, with an empty line between.
Longer conversations are refused: cutting them would teach something else than what the file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "model",
    "model": "model",
}


class RecordError(Exception):
    """A record that cannot become an example; `kind` is the kind of the problem."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def is_conversation(record: Mapping[str, object]) -> bool:
    """Whether the record has the form of a chat line: a list of objects under one of the two names."""
    turns = record.get("messages", record.get("contents"))
    return isinstance(turns, list) and all(isinstance(turn, Mapping) for turn in turns)


def from_conversation(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return input and output. Raises RecordError when there is not exactly one of each."""
    turns = [_turn(turn) for turn in record.get("messages") or record.get("contents") or []]
    instruction = record.get("systemInstruction", record.get("system_instruction"))
    system = [] if instruction is None else [_text(instruction)]
    system += [text for role, text in turns if role == "system"]
    talk = [turn for turn in turns if turn[0] != "system"]
    if [role for role, _ in talk] != ["user", "model"]:
        raise RecordError("conversation", _why_not([role for role, _ in talk]))
    question, answer = talk[0][1], talk[1][1]
    return "\n\n".join([*system, question]), answer


def _turn(turn: object) -> tuple[str, str]:
    if not isinstance(turn, Mapping):
        raise RecordError("conversation", "a message is not an object.")
    role = turn.get("role", "user")
    if not isinstance(role, str) or role not in _ROLES:
        raise RecordError("conversation", f"a message with the role {str(role)[:40]!r} cannot be used.")
    return _ROLES[role], _text(turn)


def _text(turn: object) -> str:
    """Return the text of a message: `content`, a list of parts, or plain text."""
    if isinstance(turn, str):
        return turn
    content = turn.get("parts", turn.get("content")) if isinstance(turn, Mapping) else None
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    parts = content if isinstance(content, list) and content else [None]
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise RecordError("conversation", "a message holds something other than text.")
    return "".join(text for text in texts if isinstance(text, str))


def _why_not(roles: list[str]) -> str:
    if len(roles) > 2:
        return f"{len(roles)} messages; only one question and one answer can be tuned on."
    if "model" not in roles:
        return "the answer is missing."
    return "the question is missing." if "user" not in roles else "the answer stands before the question."
