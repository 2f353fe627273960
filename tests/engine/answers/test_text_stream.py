"""Tests of `engine.answers.drawing`: joined pieces are the text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.engine.answers.drawing import TextStream


def from_bytes(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode("utf-8", errors="replace")


def whole_from_bytes(tokens: Sequence[int]) -> str:
    return codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(tokens), final=False)


def pieces(text: str, stops: Sequence[str] = (), is_additive: bool = False) -> tuple[list[str], bool]:
    stream = TextStream(from_bytes, whole_from_bytes, stops, is_additive=is_additive)
    shown = []
    for token in text.encode():
        shown.append(stream.push(token))
        if stream.is_stopped:
            return shown, True
    return [*shown, stream.flush()], False


@given(st.text(max_size=40), st.booleans())
def test_joined_pieces_are_the_text(text: str, is_additive: bool) -> None:
    """Whatever the characters, nothing is lost, doubled or cut in half."""
    shown, _ = pieces(text, (), is_additive)

    assert "".join(shown) == text


@given(
    st.text("abc", max_size=60),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3),
    st.booleans(),
)
def test_stop_sequences_are_cut_off(text: str, stops: list[str], is_additive: bool) -> None:
    """What is shown ends before the first stop sequence that the text reaches."""
    shown, is_stopped = pieces(text, stops, is_additive)
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]

    assert is_stopped == bool(ends)
    if ends:
        reached = text[: ends[0]]
        assert "".join(shown) == reached[: min(reached.find(stop) for stop in stops if stop in reached)]
    else:
        assert "".join(shown) == text


@given(st.lists(st.integers(0, 255), max_size=80))
def test_pieces_are_those_of_the_whole_text(tokens: list[int]) -> None:
    """Bytes of any kind, whole characters or not, give the pieces that decoding all of them gives."""
    slow, fast = TextStream(from_bytes, whole_from_bytes), TextStream(from_bytes, whole_from_bytes, is_additive=True)

    assert [fast.push(token) for token in tokens] == [slow.push(token) for token in tokens]
    assert fast.flush() == slow.flush()


def test_only_the_last_tokens_are_decoded_again() -> None:
    """Of a hundred never more than sixteen at once."""
    seen = []

    def watched(tokens: Sequence[int]) -> str:
        seen.append(len(tokens))
        return from_bytes(tokens)

    stream = TextStream(watched, whole_from_bytes, is_additive=True)

    assert "".join([*(stream.push(token) for token in b"a" * 100), stream.flush()]) == "a" * 100
    assert max(seen) == 16


def test_a_half_character_waits() -> None:
    """The bytes of an umlaut come out together."""
    stream = TextStream(from_bytes, whole_from_bytes)

    assert stream.push("ü".encode()[0]) == ""
    assert stream.push("ü".encode()[1]) == "ü"


@pytest.mark.parametrize("is_additive", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_half_character_is_left_out_at_the_end(cut: int, is_additive: bool) -> None:
    """An answer whose tokens end within a character ends before it, in pieces as in whole."""
    stream = TextStream(from_bytes, whole_from_bytes, is_additive=is_additive)
    shown = [stream.push(token) for token in "a wrench 🔧👩\u200d🔧".encode()[:-cut]]

    assert "".join([*shown, stream.flush()]) == "a wrench 🔧👩\u200d"


@pytest.mark.parametrize(("text", "held"), [("hello E", "E"), ("hello EN", "EN"), ("hello", "")])
def test_a_possible_stop_waits(text: str, held: str) -> None:
    """Text that may become a stop sequence is not shown until it cannot."""
    stream = TextStream(from_bytes, whole_from_bytes, ["END"])
    shown = "".join(stream.push(token) for token in text.encode())

    assert shown == text.removesuffix(held)
    assert stream.flush() == held
