"""
JSON text to values, with the place of what is wrong, and whether a text is JSON at all.

Numbers stay the text they are written as; a name that appears twice in one object is refused. It knows nothing of
examples.
"""

from __future__ import annotations

import functools
import json
from collections import Counter

from tunery.engine.data.tables import column_name


class JsonNumber(str):
    """A number as it is written, so that 7 is "7" and 0.10 is "0.10"."""

    __slots__ = ()


class JsonError(Exception):
    """Text that is not JSON; the message says where."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def looks_like_json(text: str, suffix: str) -> str | None:
    """Return "json" or "jsonl" when that is what `text` is, None otherwise; `suffix` decides only what is broken."""
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
    # A CSV may begin with a bracket too: "[greeting],label"
    return "json" if suffix == ".json" or lines[0] in ("{", "[") or start == "{" or _is_value(text) else None


def loads(text: str) -> object:
    """Return the value of a JSON text. Raises JsonError."""
    try:
        return json.loads(
            text,
            parse_int=_number,
            parse_float=_number,
            parse_constant=lambda _: None,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, " if "\n" in text.strip() else ""
        message = f"{where}character {error.colno}: {error.msg[0].lower()}{error.msg[1:]}"
        raise JsonError(message, error.lineno) from error
    except RecursionError as error:
        raise JsonError("brackets are nested too deeply") from error


@functools.lru_cache(maxsize=65_536)  # 4 MiB can hold two million numbers, but not as many different ones
def _number(text: str) -> JsonNumber:
    return JsonNumber(text)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name that appears twice; Python would keep the last value and say nothing."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise JsonError(f"the name {column_name(twice)!r} appears twice in one object")
    return found


def _is_value(text: str) -> bool:
    try:
        loads(text)
    except JsonError:
        return False
    return True
