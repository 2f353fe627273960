"""
Reads JSON, JSONL and Python records into a table, chat lines included.

Every unreadable line becomes a problem with its number. Numbers and booleans keep the text they are written as.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tunery.data.json_text import JsonError, JsonNumber, loads
from tunery.data.prompts import structured_prompt
from tunery.data.tables import BadCell, Cell, DecodedText, Row, Table, check_extent, column_name, invalid
from tunery.errors import DataProblem
from tunery.types import TuningExample

_PAIR = ("text_input", "output")


def read_jsonl(decoded: DecodedText) -> Table:
    """Return one row per line; a broken line becomes a problem with its line number."""
    records: list[tuple[int, object]] = []
    problems: list[DataProblem] = []
    for number, line in enumerate(decoded.text.split("\n"), start=1):
        if not line.strip():
            continue
        check_extent(len(records) + len(problems), 0)
        try:
            records.append((number, loads(line)))
        except JsonError as error:
            problems.append(DataProblem("broken-line", f"not valid JSON, {error}.", row=number))
    return _with_encoding(_table(records, "jsonl", problems), decoded)


def read_json(decoded: DecodedText) -> Table:
    """
    Return a list of objects or pairs, an object of columns, or a structured prompt of AI Studio as a table.

    Raises DatasetInvalid when the text is not valid JSON or holds something else.
    """
    try:
        value = loads(decoded.text)
    except JsonError as error:
        raise invalid("broken-json", f"Not valid JSON, {error}.", row=error.line) from error
    if (prompt := structured_prompt(value)) is not None:
        return _with_encoding(prompt.table(), decoded)
    value = _unwrap(value)
    if isinstance(value, dict):
        columns = None if is_conversation(value) else _columns(value)
        value = [value] if columns is None else _turn(columns)
    if not isinstance(value, list):
        raise invalid("wrong-json", f"The JSON is {_kind(value)}; a list of examples is needed.")
    return _with_encoding(_table(list(enumerate(value, start=1)), "json", []), decoded)


def read_records(records: Iterable[object]) -> Table:
    """Return Python records as a table: objects with named fields, pairs, or TuningExamples; counted from 1."""
    return _table(list(enumerate(records, start=1)), "records", [])


def _unwrap(value: object) -> object:
    """Return the list inside the body of a create call: {"examples": {"examples": [...]}}."""
    while isinstance(value, dict) and set(value) == {"examples"}:
        value = value["examples"]
    return value


def _columns(value: dict[str, object]) -> dict[str, list[object]] | None:
    """Return the columns if the object consists of columns: lists, or objects as pandas writes them."""
    if value and all(isinstance(column, list) for column in value.values()):
        return {name: column for name, column in value.items() if isinstance(column, list)}
    by_key = {name: column for name, column in value.items() if isinstance(column, dict)}
    if not by_key or len(by_key) < len(value):
        return None
    keys = next(iter(by_key.values()))
    if any(column.keys() != keys.keys() for column in by_key.values()):
        return None
    return {name: [column[key] for key in keys] for name, column in by_key.items()}


def _turn(columns: dict[str, list[object]]) -> list[object]:
    heights = {name: len(column) for name, column in columns.items()}
    if len(set(heights.values())) > 1:
        shortest, longest = min(heights, key=heights.__getitem__), max(heights, key=heights.__getitem__)
        message = f"Column {column_name(shortest)!r} has {heights[shortest]:,} values, "
        raise invalid("ragged-columns", f"{message}{column_name(longest)!r} has {heights[longest]:,}.")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _table(records: list[tuple[int, object]], form: str, problems: list[DataProblem]) -> Table:
    check_extent(len(records), 0)
    columns: dict[str, None] = {}
    fields: list[tuple[int, dict[str, Cell]]] = []
    for number, record in records:
        try:
            named = _fields(record)
        except RecordError as error:
            problems.append(DataProblem(error.kind, str(error), row=number))
            continue
        columns.update(dict.fromkeys(named))
        fields.append((number, named))
    check_extent(len(fields), len(columns))
    rows = tuple(Row(number, tuple(named.get(name) for name in columns)) for number, named in fields)
    return Table(form, tuple(columns), rows, tuple(problems))


def _fields(record: object) -> dict[str, Cell]:
    """Return the named cells of one record. Raises RecordError when it is not a record."""
    if isinstance(record, TuningExample):
        return {"text_input": record.text_input, "output": record.output}
    if isinstance(record, Mapping):
        if is_conversation(record):
            return dict(zip(_PAIR, from_conversation(record), strict=True))
        return {_field_name(name): _cell(value) for name, value in record.items()}
    if isinstance(record, (list, tuple)):
        if len(record) != 2:
            raise RecordError("wrong-record", f"{len(record)} values, expected 2: input and output.")
        return dict(zip(_PAIR, map(_cell, record), strict=True))
    raise RecordError("wrong-record", f"{_kind(record)}, expected an object with an input and an output.")


def _field_name(name: object) -> str:
    return "text_input" if name == "textInput" else column_name(str(name))


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str):
        return str(value) if isinstance(value, JsonNumber) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return None if value != value else f"{value:.15g}"  # pandas writes missing cells as NaN
    return BadCell("not-text", f"{_kind(value)}, not text.")


def _kind(value: object) -> str:
    names = {
        JsonNumber: "a number",
        dict: "an object",
        list: "a list",
        tuple: "a list",
        str: "a text",
        type(None): "null",
        bool: "a boolean",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _with_encoding(table: Table, decoded: DecodedText) -> Table:
    return replace(
        table,
        problems=(*decoded.problems, *table.problems),
        encoding=decoded.encoding,
        encoding_is_guessed=decoded.is_guessed,
    )


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
    """Return whether the record is a chat line: a list of objects under `messages` or `contents`."""
    turns = record.get("messages", record.get("contents"))
    return isinstance(turns, list) and all(isinstance(turn, Mapping) for turn in turns)


def from_conversation(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return input and output. Raises RecordError unless there is exactly one of each."""
    turns = [_message(turn) for turn in record.get("messages") or record.get("contents") or []]
    instruction = record.get("systemInstruction", record.get("system_instruction"))
    system = [] if instruction is None else [_text(instruction)]
    system += [text for role, text in turns if role == "system"]
    talk = [turn for turn in turns if turn[0] != "system"]
    if [role for role, _ in talk] != ["user", "model"]:
        raise RecordError("conversation", _why_not([role for role, _ in talk]))
    question, answer = talk[0][1], talk[1][1]
    return "\n\n".join([*system, question]), answer


def _message(turn: object) -> tuple[str, str]:
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
        return f"{len(roles)} messages; only one question with one answer is supported."
    if "model" not in roles:
        return "the answer is missing."
    return "the question is missing." if "user" not in roles else "the answer comes before the question."


def looks_like_json(text: str, suffix: str) -> str | None:
    """Return "json", "jsonl" or None for the format of `text`; `suffix` decides only for broken text."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix)
    lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
    if len(lines) == 1:
        return suffix.lstrip(".") if suffix in (".json", ".jsonl") else "json"
    whole = sum(_is_value(line) for line in lines[:20])
    if _is_value(lines[0]) or whole > len(lines[:20]) / 2:
        return "jsonl"
    if suffix in (".jsonl", ".ndjson"):
        return "json" if _is_value(text) else "jsonl"
    # a CSV may begin with a bracket too: "[greeting],label"
    return "json" if suffix == ".json" or lines[0] in ("{", "[") or start == "{" or _is_value(text) else None


def _is_value(text: str) -> bool:
    try:
        loads(text)
    except JsonError:
        return False
    return True
