"""
JSON as text: lines of JSONL, values one after another, and numbers kept as they are written.

A line of JSONL ends only at a line feed, because texts may contain U+0085, U+2028 and U+2029.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tunery.data.tables import column_name

# Line ends for other readers (Python's splitlines, old JavaScript), and lone surrogates, which no UTF-8 file can
# contain. JSON itself escapes the characters below U+0020.
_ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")
_BETWEEN = re.compile(r"[\s,]*")  # also the record separator of RFC 7464, which Python counts as whitespace
_PYTHON = re.compile(r"\s*[\[(]?\s*\{\s*'")


class JsonNumber(str):
    """A number as written, so that 7 is "7" and 0.10 is "0.10"."""

    __slots__ = ()


class JsonError(Exception):
    """Text that is not JSON; the message says where."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def json_line(value: object) -> str:
    """
    Return a value as a line of JSONL with its line feed; programs that end lines at other characters can read it too.
    """
    return one_line(json.dumps(value, ensure_ascii=False)) + "\n"


def one_line(text: str) -> str:
    """Return JSON without indentation, escaping every character that some reader takes for a line end."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def jsonl_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that is not blank; numbers count from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if stripped := line.strip():
            yield number, stripped


def loads(text: str) -> Any:
    """Return the value of a JSON text. Raises JsonError."""
    with _telling(text, 1):
        return _DECODER.decode(text)


def values(text: str) -> Iterator[tuple[int, Any]]:
    """Yield JSON values separated by whitespace or commas, and the lines they begin on."""
    position, line = 0, 1
    while (start := _between(text, position)) < len(text):
        line += text.count("\n", position, start)
        with _telling(text, line):
            value, position = _DECODER.raw_decode(text, start)
        yield line, value
        line += text.count("\n", start, position)


def is_value(text: str) -> bool:
    """Return whether the text is one JSON value."""
    try:
        loads(text)
    except JsonError:
        return False
    return True


def is_python(text: str) -> bool:
    """Return whether the text begins like a dictionary, or a list of dictionaries, printed by Python."""
    return _PYTHON.match(text) is not None


@contextmanager
def _telling(text: str, line: int) -> Iterator[None]:
    """Turn the decoder's exceptions into a JsonError; `line` is the one in which the value begins."""
    try:
        yield
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, " if "\n" in text.strip() else ""
        message = f"{where}character {error.colno}: {error.msg[0].lower()}{error.msg[1:]}"
        raise JsonError(message, error.lineno) from error
    except RecursionError as error:
        raise JsonError("brackets are nested too deeply", line) from error
    except JsonError as error:
        raise JsonError(str(error), line) from error


def _between(text: str, position: int) -> int:
    found = _BETWEEN.match(text, position)
    return found.end() if found else position


@functools.lru_cache(maxsize=65_536)  # 4 MiB can contain two million numbers, but not two million different ones
def _number(text: str) -> JsonNumber:
    return JsonNumber(text)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name that appears twice; Python would silently keep the last value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise JsonError(f"the name {column_name(twice)!r} appears twice in one object")
    return found


_DECODER = json.JSONDecoder(
    parse_int=_number, parse_float=_number, parse_constant=lambda _: None, object_pairs_hook=_object
)
