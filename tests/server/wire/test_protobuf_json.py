"""JSON as protobuf's parser takes it: each of its liberties, and what stays wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.server.wire.protobuf_json import strict_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "one\ntwo\tthree"}', {"a": "one\ntwo\tthree"}),
        ('{"a": "\0\x1f"}', {"a": "\0\x1f"}),
        ("{contents: [{parts: [{text: 'Hello'}]}]}", {"contents": [{"parts": [{"text": "Hello"}]}]}),
        ("{ $a_1 : 1, trueish : true }", {"$a_1": 1, "trueish": True}),
        (r'{"a": "it\'s\ here \a\-\v"}', {"a": "it's here a-\x0b"}),
        ('{"a": "one\\\ntwo"}', {"a": "one\ntwo"}),
        (r"{'a': 'say \"it\", don\'t \\ \u00e9\n'}", {"a": 'say "it", don\'t \\ é\n'}),
        ("{'a': 'a \"quote\"'}", {"a": 'a "quote"'}),
        ("[1, 2.5e3, -0, true, null, ]", [1, 2500.0, 0, True, None]),
        ('{"a": [1,2, ] ,\n}', {"a": [1, 2]}),
        ('{"a":\f1,\v"b": ",}"}', {"a": 1, "b": ",}"}),
        ('{"a": "true: {b: 1,}", b: "c: \'"}', {"a": "true: {b: 1,}", "b": "c: '"}),
    ],
)
def test_what_protobuf_takes(text: str, value: Any) -> None:
    """Control characters and unknown escapes in strings, single quotes, bare names, trailing commas, other blanks."""
    assert json.loads(strict_json(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        "{a}", "{true: 1}", "{1a: 1}", "{a: b}", "[a: 1]", "{'a': 'b'", "{'a: 1}", '{"a": "b}', "{,}", "[,]", "[1,,]",
        "{a: 1 b: 2}", "['a' 'b']", "['a''b']", r"{'a': '\u12'}", r'{"a": "\u12"}', "{a: 01}", "{} {}", "", "{a-b: 1}",
    ],
)  # fmt: skip
def test_what_protobuf_does_not_take(text: str) -> None:
    """Other mistakes stay mistakes."""
    with pytest.raises(json.JSONDecodeError):
        json.loads(strict_json(text))


@given(_VALUES)
def test_strict_json_keeps_its_value(value: Any) -> None:
    """Nothing that was right before is changed, whatever the texts in it look like."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert json.loads(strict_json(text)) == value


@given(st.text())
def test_a_text_is_kept_however_it_is_quoted(text: str) -> None:
    """Raw, with only the quote and the backslash escaped, in either quotes: the same text."""
    for quote in "\"'":
        raw = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
        assert json.loads(strict_json(f"[{quote}{raw}{quote}]")) == [text]
