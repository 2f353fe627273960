"""
JSON, JSONL and plain Python records to a table.

A line that cannot be read becomes a problem with its number; all of them are reported. Numbers and booleans become
the text they are written as. It knows nothing of files; JSON itself is the subject of `json_text`, chat lines that of
`conversations`, files of AI Studio that of `structured_prompts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tunery.engine.data.conversations import RecordError, from_conversation, is_conversation
from tunery.engine.data.json_text import JsonError, JsonNumber, loads
from tunery.engine.data.structured_prompts import structured_prompt
from tunery.engine.data.tables import BadCell, Cell, Row, Table, check_extent, column_name, invalid
from tunery.engine.data.text_encoding import DecodedText
from tunery.problems import DataProblem
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
    Return a list of objects, a list of pairs, an object of columns or a structured prompt of AI Studio as a table.

    Raises DatasetInvalid when the text is not valid JSON or is something else.
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
    """Take the list out of the body of a create call: {"examples": {"examples": [...]}}."""
    while isinstance(value, dict) and set(value) == {"examples"}:
        value = value["examples"]
    return value


def _columns(value: dict[str, object]) -> dict[str, list[object]] | None:
    """Return the columns if the object is made of columns: lists, or objects as pandas writes them."""
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
    """Return the named cells of one record. Raises RecordError when it is no record."""
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
