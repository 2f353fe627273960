"""
Guesses of what a row will say next, from the row itself: what followed when its last two tokens stood there before.

Answers repeat labels, names and phrases of their prompts. A guess costs nothing but the rows by which the next step
grows, and each is checked against the model before it counts.
"""

from __future__ import annotations

from collections.abc import Sequence


class Lookup:
    """The tokens of one row, prompt and answer, by the two tokens that stand before each."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._places: dict[tuple[int, int], int] = {}
        for token in tokens:
            self.push(token)

    def push(self, token: int) -> None:
        if len(self._tokens) >= 2:
            self._places[self._tokens[-2], self._tokens[-1]] = len(self._tokens)
        self._tokens.append(token)

    def guess(self, most: int) -> list[int]:
        """Return up to `most` tokens that may come next, none if the last two have not stood together before."""
        if len(self._tokens) < 2:
            return []
        place = self._places.get((self._tokens[-2], self._tokens[-1]), len(self._tokens))
        return self._tokens[place : place + most]
