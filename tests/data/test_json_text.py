"""Lines of JSONL and values of JSON as text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.data.json_text import JsonError, json_line, jsonl_lines, loads

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@settings(deadline=None)
@given(st.lists(st.dictionaries(TEXTS, TEXTS), min_size=1))
def test_lines_come_back_in_any_reader(records: list[dict[str, str]]) -> None:
    """Also in one that ends lines where Python's splitlines does."""
    text = "".join(map(json_line, records))

    assert [loads(line) for _, line in jsonl_lines(text)] == records
    assert [loads(line) for line in text.splitlines()] == records


def test_half_a_character_is_escaped() -> None:
    """A file in UTF-8 can hold it only so."""
    assert json_line({"a": "\ud83d"}).encode() == b'{"a": "\\ud83d"}\n'


def test_only_line_feeds_end_lines() -> None:
    """Blank lines count; a carriage return before the line feed is no text."""
    assert list(jsonl_lines('"a\u2028b"\r\n\n"c\u0085d"')) == [(1, '"a\u2028b"'), (3, '"c\u0085d"')]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "the name 'a' appears twice"),
        ('{"a" 1}', "character 6: expecting ':' delimiter"),
        ('{"a": 1,\n"b" 2}', "line 2, character 5"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    """With line and character."""
    with pytest.raises(JsonError, match=message):
        loads(text)


def test_numbers_keep_their_digits() -> None:
    """Five thousand of them too, which Python would not convert."""
    assert loads("[0.10, 1e3, " + "9" * 5_000 + "]") == ["0.10", "1e3", "9" * 5_000]
