"""
Reads the JSON of request bodies, also as accepted by the parser of Google's API (protobuf's json_stream_parser.cc).

That parser accepts more than the standard: control characters in strings, which come from line breaks in shell
commands; strings in single quotes; escapes of any character; field names without quotes; commas before a closing
bracket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tunery.data.tables import MAX_ROWS
from tunery.errors import InvalidArgument

MAX_NESTING = 100  # as in Google's parser
LARGE_BODY_BYTES = 256 * 1024
_LEAST_BYTES = 6  # of a large body for each of its names and values; rows of single letters have more

# The groups are possessive, so that an unclosed string is read only once; trying again at each quote in it took hours
# for 4 MiB. Text that is already strict is a single match, since each match costs a call, and so is the rest once it
# cannot become JSON.
# In Python before 3.11.5, a failing possessive group keeps what its last alternative has read (gh-106052), so the last
# one here is (?!), which reads nothing.
_TOKENS = re.compile(
    r"""
      (?P<strict>(?:
          "(?:[^"\\\x00-\x1f]|\\["\\/bfnrtu]|(?!))*+"
        | [0-9.+-]++(?:[eE][0-9+-]++)?+
        | (?:true|false|null)(?![A-Za-z0-9_$]|\s*+:)
        | []}: \t\r\n]
        | [{[](?!\s*+,)
        | ,(?!\s*+[}\]])
        | (?!)
      )++)
    | "(?P<double>(?:[^"\\]|\\.|(?!))*+)(?P<double_end>")
    | '(?P<single>(?:[^'\\]|\\.|(?!))*+)(?P<single_end>'(?!\s*+'))
    | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*+)(?P<colon>\s*+:)
    | [\f\v]++
    | ,(?=\s*+[}\]])
    | (?P<wrong>.++)
    """,
    re.DOTALL | re.ASCII | re.VERBOSE,
)
_LINE_BREAK = re.compile(r"\n|\\u000a")  # the second one is a line break in a string, as written by `strict_json`
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(r"[\x00-\x1f]")
_UNKNOWN_ESCAPE = re.compile(r"""(?:[^\\]|\\["\\/bfnrtu]|(?!))*+\\(?!["\\/bfnrtu])""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEPT_ESCAPES = frozenset('"\\/bfnrtu')
_ESCAPED = {code: f"\\u{code:04x}" for code in range(32)}
_KEYWORDS = ("true", "false", "null")


def read_json(body: bytes, *, is_googles: bool) -> Any:
    """
    Return the value of a body, an empty object for an empty one; raises InvalidArgument.

    With `is_googles`, JSON is read the way Google's parser reads it.
    """
    if not body.strip():
        return {}
    _refuse_crowded(body)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"Invalid JSON payload received. The body is not UTF-8 at byte {error.start}.") from None
    value = _value(text, is_googles)
    _refuse_deep_and_long(value)
    if _SURROGATE.search(text):
        _refuse_lone_surrogates(value, ())
    return value


def _refuse_crowded(body: bytes) -> None:
    """Raise InvalidArgument for a large body of very short values; 4 MiB of them take Python's parser 0.2 s."""
    most = len(body) // _LEAST_BYTES
    if len(body) <= LARGE_BODY_BYTES or max(body.count(b","), body.count(b'"') // 2) <= most:
        return
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    count = plain.count(b'"') // 2
    if count <= most:  # every other part is the inside of a string
        outside = b"".join(plain.split(b'"')[::2])
        count = sum(part.count(b",") for part in outside.split(b"'")[::2])
    if count > most:
        raise InvalidArgument(
            f"Invalid JSON payload received. The body has {count:,} values in {len(body):,} bytes; the limit is "
            f"{most:,}. Requests need names and texts, which are longer."
        )


def _value(text: str, is_googles: bool) -> Any:
    if is_googles:
        with suppress(json.JSONDecodeError):
            return _loads(text)
        text = strict_json(text)
    try:
        return _loads(text)
    except json.JSONDecodeError as error:
        what, near = error.msg.removesuffix(" at"), error.doc[max(0, error.pos - 20) : error.pos + 20]
        line = 1 + len(_LINE_BREAK.findall(error.doc, 0, error.pos))
        raise InvalidArgument(f"Invalid JSON payload received. {what} in line {line}, near {near!r}.") from None


def _refuse_deep_and_long(value: Any) -> None:
    """Raise InvalidArgument for deeper nesting or longer lists than later code can handle."""
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        if depth > MAX_NESTING:
            raise _too_deep()
        longest = max((len(inner) for inner in level if isinstance(inner, list)), default=0)
        if longest > MAX_ROWS:
            raise InvalidArgument(f"A list in the body has {longest:,} items; the limit is {MAX_ROWS:,}.")
        inside = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for values in inside for inner in values if isinstance(inner, dict | list)]


def _refuse_lone_surrogates(value: Any, place: tuple[int | str, ...]) -> None:
    """Raise InvalidArgument for half of a surrogate pair, which neither the database nor a tokenizer accepts."""
    match value:
        case str() if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise InvalidArgument(f"Invalid value at '{path_of(place)}': it holds half of a surrogate pair.")
        case dict():
            for name, inner in value.items():
                _refuse_lone_surrogates(name, (*place, "a name"))
                _refuse_lone_surrogates(inner, (*place, name))
        case list():
            for number, inner in enumerate(value):
                if isinstance(inner, str | dict | list):  # millions of numbers are skipped quickly
                    _refuse_lone_surrogates(inner, (*place, number))


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python refuses to convert that many digits, because it would take too long
        raise InvalidArgument("Invalid JSON payload received. A number has too many digits.") from None


def _too_deep() -> InvalidArgument:
    return InvalidArgument(
        f"Invalid JSON payload received. It is nested too deeply; the limit is {MAX_NESTING} levels."
    )


def _refuse_constant(name: str) -> Any:
    raise InvalidArgument(f"Invalid JSON payload received. {name} is not a JSON value.")


def path_of(place: Sequence[int | str]) -> str:
    """Return a place in a value, such as `contents[0].role`."""
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def strict_json(text: str) -> str:
    """
    Return a text that protobuf's parser would accept as strict JSON with the same value; other texts remain invalid.
    """
    return _TOKENS.sub(_strict_token, text)


def _strict_token(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "double_end":
            return f'"{_strict_text(found["double"])}"'
        case "single_end":
            return f'"{_double_quoted(found["single"])}"'
        case "colon" if found["name"] not in _KEYWORDS:
            return f'"{found["name"]}":'
        case None:  # a comma before a closing bracket, or whitespace that strict JSON does not allow
            return " "
    return found[0]


def _strict_text(text: str) -> str:
    """Return the inside of a string with the escapes of strict JSON."""
    if _UNKNOWN_ESCAPE.match(text):
        text = _ESCAPE.sub(_strict_escape, text)
    return text.translate(_ESCAPED) if _CONTROL.search(text) else text


def _strict_escape(found: re.Match[str]) -> str:
    if found[1] in _KEPT_ESCAPES:
        return found[0]
    return "\x0b" if found[1] == "v" else found[1]


def _double_quoted(text: str) -> str:
    """Return the inside of a single-quoted string as that of a double-quoted one."""
    return _strict_text(_ESCAPE.sub(lambda found: '"' if found[1] == '"' else found[0], text).replace('"', '\\"'))
