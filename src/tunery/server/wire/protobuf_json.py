"""
Rewrites JSON as accepted by the parser of Google's API (protobuf's json_stream_parser.cc) as strict JSON.

That parser accepts more than the standard: control characters in strings, which come from line breaks in shell
commands; strings in single quotes; escapes of any character; field names without quotes; commas before a closing
bracket.
"""

from __future__ import annotations

import re

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
_CONTROL = re.compile(r"[\x00-\x1f]")
_UNKNOWN_ESCAPE = re.compile(r"""(?:[^\\]|\\["\\/bfnrtu]|(?!))*+\\(?!["\\/bfnrtu])""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEPT_ESCAPES = frozenset('"\\/bfnrtu')
_ESCAPED = {code: f"\\u{code:04x}" for code in range(32)}
_KEYWORDS = ("true", "false", "null")


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
