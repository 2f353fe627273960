"""
Reads the chat lines of other services: one question and one answer become an example.

The forms are OpenAI's and Mistral's (`messages`, also with preferred and rejected answers), Vertex AI's (`contents`),
PaLM's (`author`), Anthropic's (`system` next to `messages`), Cohere's, ShareGPT's (`conversations` with `from` and
`value`), and those of TRL and LLaMA-Factory (`prompt` and `completion`, `chosen` and `rejected`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunery.data.tables import column_name

_TURNS = ("messages", "contents", "conversations", "conversation", "chat_rounds", "dialogue", "dialog")
_PROMPTS = ("prompt", "input", "instruction")
_ANSWERS = ("completion", "chosen", "preferred_output", "output", "response", "ideal")
_REJECTED = {"chosen": "rejected", "preferred_output": "non_preferred_output"}
_SYSTEMS = ("systemInstruction", "system_instruction", "system", "system_prompt")
_ROLE_FIELDS = ("role", "from", "author")
_TEXT_FIELDS = ("parts", "content", "value", "message", "text")
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    **dict.fromkeys(("assistant", "model", "gpt", "bot", "chatgpt", "chatbot", "ai"), "model"),
}
# What a message may contain in addition to text. An example has no place for the first kind; the second is left out.
_NOT_TEXT = ("tool_calls", "function_call", "tool_call_id", "audio", "images", "refusal")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_THOUGHT_TYPES = frozenset({"thinking", "redacted_thinking", "reasoning"})
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_SWITCHES = ("train", "training", "loss")  # field of messages in Axolotl and ms-swift; OpenAI and Mistral use a weight


class RecordError(Exception):
    """A record that cannot become an example; `kind` is the kind of the problem."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question with one answer, and other facts from the record."""

    text_input: str
    output: str
    used: frozenset[str]  # fields of the record that were read
    # "0" if the answer or the record is marked as not meant for learning, "1" if it is marked as meant for it
    weight: str | None = None
    thoughts: tuple[str, ...] = ()  # the field whose thoughts were left out
    chosen: tuple[str, ...] = ()  # the fields of the preferred and the rejected answer
    unused: frozenset[str] = frozenset()  # fields of messages that were not read
    has_system: bool = False


@dataclass(frozen=True, slots=True)
class _Message:
    role: str
    text: str
    weight: str | None
    thoughts: tuple[str, ...]
    unused: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Talk:
    """The messages of a record in order, and the fields they come from."""

    messages: Sequence[object]
    used: frozenset[str]
    chosen: tuple[str, ...] = ()
    unused: frozenset[str] = frozenset()


def is_conversation(record: Mapping[str, object]) -> bool:
    """Return whether the record contains messages."""
    return _talk(record) is not None


def exchange(record: Mapping[str, Any]) -> Exchange:
    """Return input and output of a conversation. Raises RecordError unless there is exactly one of each."""
    talk = _talk(record) or _Talk((), frozenset())
    messages = [_message(turn, talk.messages) for turn in talk.messages]
    spoken = [message for message in messages if message.role != "system"]
    if [message.role for message in spoken] != ["user", "model"]:
        raise RecordError("conversation", _why_not([message.role for message in spoken]))
    question, answer = spoken
    systems, used = _systems(record, talk)
    systems += [message.text for message in messages if message.role == "system" and message.text]
    return Exchange(
        text_input="\n\n".join([*systems, question.text]),
        output=answer.text,
        used=talk.used | used,
        weight=min(filter(None, (answer.weight, _weight(record))), default=None),
        thoughts=next((message.thoughts for message in messages if message.thoughts), ()),
        chosen=talk.chosen,
        unused=talk.unused.union(*(message.unused for message in messages)),
        has_system=bool(systems),
    )


def preference(record: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the fields of the preferred and the rejected answer if both are present."""
    return next((pair for pair in _REJECTED.items() if all(name in record for name in pair)), None)


def _talk(record: Mapping[str, object]) -> _Talk | None:
    """Return the messages of a record: a list of them, or a prompt and an answer if one of these is not plain text."""
    for name in _TURNS:
        if (turns := _turns(record.get(name), must_have_roles=name not in ("messages", "contents"))) is not None:
            return _answered(record, turns, name)
    for name in _PROMPTS:
        if (prompt := _prompt(record.get(name))) is not None:
            talk = _answered(record, prompt, name)
            if not all(isinstance(record[field], str) for field in talk.used):
                return talk
    if (pair := preference(record)) and (turns := _turns(record[pair[0]], must_have_roles=True)) is not None:
        return _Talk(turns, frozenset(pair), pair)
    return None


def _turns(value: object, *, must_have_roles: bool) -> list[object] | None:
    """Return a list of messages, None if it is something else."""
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        return None
    is_sure = bool(value) and all(any(name in turn for name in _ROLE_FIELDS) for turn in value)
    return list(value) if is_sure or not must_have_roles else None


def _prompt(value: object) -> list[object] | None:
    """Return the messages of a prompt: a text, a list of messages, or PaLM's object."""
    if not isinstance(value, Mapping) or "messages" not in value:
        return _said(value, "user")
    turns = _turns(value["messages"], must_have_roles=False)
    context = value.get("context")
    before = [{"role": "system", "content": context}] if isinstance(context, str) and context else []
    return None if turns is None else [*before, *turns]


def _said(value: object, role: str) -> list[object] | None:
    """Return messages: a list of them, a single one, or one made of a text."""
    if isinstance(value, Mapping) and not any(name in value for name in _ROLE_FIELDS):
        value = value[next(iter(value))] if len(value) == 1 and set(value) <= {"text", "content"} else None
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return _turns([value] if isinstance(value, Mapping) else value, must_have_roles=True)


def _answered(record: Mapping[str, object], turns: list[object], field: str) -> _Talk:
    """Add the answer from its separate field, if the messages end with a question."""
    prompt = record[field]
    extra = set(prompt) - {"messages", "context", "text", "content"} if isinstance(prompt, Mapping) else set()
    unused = frozenset(f"{field}.{name}" for name in extra if isinstance(prompt, Mapping) and prompt[name])
    if turns and _role(turns[-1], turns) in ("user", "system"):
        for name in _ANSWERS:
            if name != field and (answer := _said(record.get(name), "assistant")) is not None:
                pair = (name, _REJECTED[name]) if _REJECTED.get(name) in record else ()
                used = frozenset((field, name, *pair))
                is_restated = _is_same(answer[0], turns[-1])  # the answer's list begins with the prompt
                return _Talk([*turns[: -1 if is_restated else None], *answer], used, pair, unused)
    return _Talk(turns, frozenset({field}), (), unused)


def _is_same(one: object, other: object) -> bool:
    return _role(one, [one]) == _role(other, [other]) == "user" and _content(one) == _content(other)


def _systems(record: Mapping[str, object], talk: _Talk) -> tuple[list[str], frozenset[str]]:
    """Return the system text stored next to the messages, and its field; PaLM calls it `context`."""
    has_authors = any(isinstance(turn, Mapping) and "author" in turn for turn in talk.messages)
    for name in (*_SYSTEMS, "context") if has_authors else _SYSTEMS:
        content = _content(record.get(name))
        if content:
            text, _ = _text_of(content)
            return ([text] if text else []), frozenset({name})
    return [], frozenset()


def _message(turn: object, turns: Sequence[object]) -> _Message:
    if not isinstance(turn, Mapping):
        raise RecordError("conversation", "a message is not an object.")
    role = _role(turn, turns)
    if role is None:
        raise RecordError("conversation", f"a message with the role {_shown_role(turn)} cannot be used.")
    for name in _NOT_TEXT:
        if turn.get(name):
            raise RecordError("conversation", f"a message has {name!r}; only text can be used.")
    text, thoughts = _text_of(_content(turn))
    fields = [*thoughts, *(name for name in _THOUGHTS if turn.get(name))][:1]
    known = {*_ROLE_FIELDS, *_TEXT_FIELDS, *_NOT_TEXT, *_THOUGHTS, *_SWITCHES, "weight", "type"}
    unused = frozenset(column_name(str(name)) for name in turn if name not in known and turn[name] is not None)
    return _Message(role, text, _weight(turn), tuple(fields), unused)


def _role(turn: object, turns: Sequence[object]) -> str | None:
    """Return system, user or model; in PaLM, authors can have any name, and the first one is the user."""
    if not isinstance(turn, Mapping):
        return None
    name = _role_name(turn)
    if not isinstance(name, str):
        return None
    if (known := _ROLES.get(name.casefold())) or "author" not in turn:
        return known
    authors = (other["author"] for other in turns if isinstance(other, Mapping) and "author" in other)
    return "user" if next(authors, None) == name else "model"


def _role_name(turn: Mapping[str, object]) -> object:
    name = next((turn[name] for name in _ROLE_FIELDS if name in turn), "user")
    return name.get("role") if isinstance(name, Mapping) else name  # ChatGPT's export: {"author": {"role": "user"}}


def _shown_role(turn: Mapping[str, object]) -> str:
    name = _role_name(turn)
    return repr(column_name(name)[:40]) if isinstance(name, str) else "of a type other than text"


def _weight(turn: Mapping[str, object]) -> str | None:
    """Return "0" for a message or record that has no weight or is switched off, "1" with a weight, None without."""
    weight = turn.get("weight")
    if any(turn.get(name) is False for name in _SWITCHES):
        return "0"
    try:
        return None if weight is None else "0" if float(str(weight)) == 0 else "1"
    except ValueError:
        return None


def _content(turn: object) -> object:
    """Return the content of a message: a text or parts."""
    if not isinstance(turn, Mapping):
        return turn
    content = next((turn[name] for name in _TEXT_FIELDS if turn.get(name) is not None), None)
    return content.get("parts", [content]) if isinstance(content, Mapping) else content


def _text_of(content: object) -> tuple[str, list[str]]:
    """Return the text of a message's content, and the fields of the thoughts that were left out."""
    if isinstance(content, str):
        return str(content), []
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content if isinstance(content, list) and content else [None]:
        if field := _thought_field(part):
            thoughts.append(field)
        else:
            texts.append(_text_of_part(part))
    return "".join(texts), thoughts


def _thought_field(part: object) -> str:
    if not isinstance(part, Mapping):
        return ""
    if part.get("thought") is True:
        return "thought"
    kind = part.get("type")
    return kind if isinstance(kind, str) and kind in _THOUGHT_TYPES else ""


def _text_of_part(part: object) -> str:
    if isinstance(part, str):
        return str(part)
    if isinstance(part, Mapping):
        kind, text = part.get("type") or "text", part.get("text")
        if isinstance(text, str) and isinstance(kind, str) and kind in _TEXT_TYPES:
            return str(text)
        others = [name for name, value in part.items() if name not in ("type", "text") and value is not None]
        what = kind if isinstance(kind, str) and kind not in _TEXT_TYPES else next(iter(others), None)
        if what is not None:
            raise RecordError("conversation", f"a message holds {column_name(str(what))!r}; only text can be used.")
    raise RecordError("conversation", "a message holds something other than text.")


def _why_not(roles: list[str]) -> str:
    if len(roles) > 2:
        return f"{len(roles)} messages; only one question with one answer is supported."
    if "model" not in roles:
        return "the answer is missing."
    return "the question is missing." if "user" not in roles else "the answer comes before the question."
