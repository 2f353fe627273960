"""Tests of `engine.answers.drawing`: what followed the last two tokens before."""

from __future__ import annotations

from tunery.engine.answers.drawing import Lookup


def test_guess_is_what_followed_last_time() -> None:
    """The latest earlier place counts, and tokens pushed later belong to the row."""
    lookup = Lookup([1, 2, 3, 1, 2, 4, 5, 1])
    lookup.push(2)

    assert lookup.guess(3) == [4, 5, 1]
    assert lookup.guess(1) == [4]


def test_new_pairs_and_short_rows_give_no_guess() -> None:
    """Nothing is guessed where the last two tokens have not stood together before."""
    assert Lookup([1, 2, 3]).guess(3) == []
    assert Lookup([7]).guess(3) == []
    assert Lookup([]).guess(3) == []


def test_no_more_tokens_than_asked_for() -> None:
    """Zero is a number too."""
    assert Lookup([1, 2, 1, 2]).guess(0) == []
