"""Tests of `engine.answers.text_stream`: joined pieces are the text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.engine.answers.text_stream import TextStream


def from_bytes(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode("utf-8", errors="replace")


def pieces(text: str, stops: Sequence[str] = ()) -> tuple[list[str], bool]:
    stream = TextStream(from_bytes, stops)
    shown = []
    for token in text.encode():
        shown.append(stream.push(token))
        if stream.is_stopped:
            return shown, True
    return [*shown, stream.flush()], False


@given(st.text(max_size=40))
def test_joined_pieces_are_the_text(text: str) -> None:
    """Whatever the characters, nothing is lost, doubled or cut in half."""
    shown, _ = pieces(text)

    assert "".join(shown) == text


@given(st.text("abc", max_size=40), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3))
def test_stop_sequences_are_cut_off(text: str, stops: list[str]) -> None:
    """What is shown ends before the first stop sequence that the text reaches."""
    shown, is_stopped = pieces(text, stops)
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]

    assert is_stopped == bool(ends)
    if ends:
        reached = text[: ends[0]]
        assert "".join(shown) == reached[: min(reached.find(stop) for stop in stops if stop in reached)]
    else:
        assert "".join(shown) == text


def test_a_half_character_waits() -> None:
    """The bytes of an umlaut come out together."""
    stream = TextStream(from_bytes)

    assert stream.push("ü".encode()[0]) == ""
    assert stream.push("ü".encode()[1]) == "ü"


@pytest.mark.parametrize(("text", "held"), [("hello E", "E"), ("hello EN", "EN"), ("hello", "")])
def test_a_possible_stop_waits(text: str, held: str) -> None:
    """Text that may become a stop sequence is not shown until it cannot."""
    stream = TextStream(from_bytes, ["END"])
    shown = "".join(stream.push(token) for token in text.encode())

    assert shown == text.removesuffix(held)
    assert stream.flush() == held
