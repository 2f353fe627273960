"""Request bodies: which ways to write JSON are accepted, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tunery.errors import InvalidArgument
from tunery.server.http import parsed
from tunery.server.wire.messages import Incoming, Int32, Int64, StrictIncoming


class Inner(StrictIncoming):
    some_name: str = ""


class Outer(StrictIncoming):
    inner: Inner | None = None
    items: list[Inner] = Field(default_factory=list)
    count: Int32 | None = None
    large: Int64 | None = None


class Loose(Incoming):
    text: str | None = None


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b"\xef\xbb\xbf{}", b'{"inner": null}'])
def test_nothing_is_an_empty_object(body: bytes) -> None:
    """No bytes, blanks, a byte-order mark, only nulls."""
    assert parsed(Outer, body) == Outer()


@pytest.mark.parametrize(
    "body",
    [
        b'{"inner": {"someName": "a,}",},}',
        b'{"inner": {"someName": "a,}"  ,\n }\n,\n}',
        b'{"inner": {"some_name": "a,}"}, "items": [],}',
    ],
)
def test_trailing_commas(body: bytes) -> None:
    """Commas before a closing bracket are read over, inside texts they stay."""
    found = parsed(Outer, body).inner
    assert found is not None
    assert found.some_name == "a,}"


@given(st.text())
def test_texts_stay_as_they_are(text: str) -> None:
    """The lenient reader never changes a text."""
    body = json.dumps({"text": text})
    if any("\ud800" <= character <= "\udfff" for character in text):
        return
    assert parsed(Loose, body.encode()).text == text
    assert parsed(Loose, f"{body[:-1]},}}".encode()).text == text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"inner": {"somename": 1}}', "Unknown name \"somename\" at 'inner': Cannot find field."),
        (b'{"innr": {}}', 'Unknown name "innr": Cannot find field.'),
        (b'{"inner": 7}', "Invalid value at 'inner'"),
        (b'{"items": [{}, {"someName": 7}]}', "Invalid value at 'items[1].someName'"),
        (b'{"count": 1.5}', "Invalid value at 'count'"),
        (b'{"count": 2147483648}', "Invalid value at 'count'"),
        (b'{"count": true}', "Invalid value at 'count'"),
        (b'{"large": "9223372036854775808"}', "Invalid value at 'large'"),
        (b'{"count": 1', "line 1"),
        (b'{"text": "a\nb",\n"count": x}', "Expecting value in line 3, near"),
        (b'{"text": "\\ud800"}', "half of a surrogate pair"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(body: bytes, words: str) -> None:
    """The message has the path in the names of the wire."""
    with pytest.raises(InvalidArgument, match=r"^Invalid") as raised:
        parsed(Outer, body)

    assert words in str(raised.value)


@pytest.mark.parametrize(("text", "value"), [("5", 5), ('"5"', 5), ("5.0", 5), ("-3", -3), ("null", None)])
def test_whole_numbers(text: str, value: int | None) -> None:
    """As number, as text, as an integral float; null is not set."""
    assert parsed(Outer, f'{{"count": {text}, "large": {text}}}'.encode()).count == value


def test_all_wrong_fields_at_once() -> None:
    """Each of the first 20 is named; checking stops there and says so."""
    items: list[Any] = [{"someName": 1}] * 25
    body = repr({"items": items}).replace("'", '"').encode()

    with pytest.raises(InvalidArgument) as raised:
        parsed(Outer, body)

    assert "items[19].someName" in str(raised.value)
    assert "items[20]" not in str(raised.value)
    assert str(raised.value).endswith("Checking stopped after 20 problems.")


def test_newer_clients_may_send_more() -> None:
    """Where names that are not known are ignored, they are."""
    assert parsed(Loose, b'{"text": "a", "thinkingConfig": {"budget": 1}}') == Loose(text="a")


def test_other_apis_take_strict_json_only() -> None:
    """OpenAI's API has no such parser."""
    for body in (b'{"text": "a",}', b"{text: 'a'}", b'{"text": "a\nb"}'):
        assert parsed(Loose, body).text
        with pytest.raises(InvalidArgument, match="in line 1, near"):
            parsed(Loose, body, is_googles=False)
