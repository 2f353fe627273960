"""
From tokens of one running answer to pieces of text that can be shown.

Holds back half characters and what may yet become a stop sequence, so that joined pieces equal the whole text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunery.engine.encoding import LOST_CHARACTER

_WINDOW_TOKENS = 16  # decoded again with each token where the text before them is sure; a thousand take a millisecond


class TextStream:
    """
    The text of one answer.

    `push` takes a token and returns the text that is now sure; `is_stopped` once a stop sequence was met (its text is
    cut off);
    `flush` returns what was held back, at the end, by `to_whole_text`: without half a character. `is_additive`: the
    text of tokens cut between two characters is that of their parts.
    """

    def __init__(
        self,
        to_text: Callable[[Sequence[int]], str],
        to_whole_text: Callable[[Sequence[int]], str],
        stop_sequences: Sequence[str] = (),
        *,
        is_additive: bool = False,
    ) -> None:
        self._to_text, self._to_whole_text, self._is_additive = to_text, to_whole_text, is_additive
        self._stops = tuple(stop_sequences)
        self._before = ""  # the text of tokens that are no longer kept
        self._tokens: list[int] = []
        self._text = ""
        self._shown = 0
        self.is_stopped = False

    def push(self, token: int) -> str:
        self._tokens.append(token)
        text = self._before + self._to_text(self._tokens)
        if text.endswith(LOST_CHARACTER):
            return ""
        self._text = text
        if self._is_additive and len(self._tokens) >= _WINDOW_TOKENS:
            self._before, self._tokens = text, []
        found = [
            place for place in (text.find(stop, max(0, self._shown - len(stop))) for stop in self._stops) if place >= 0
        ]
        if found:
            self.is_stopped = True
            self._text = text[: min(found)]
            return self._show(len(self._text))
        return self._show(len(text) - self._held_back(text))

    def flush(self) -> str:
        if not self.is_stopped:
            self._text = self._before + self._to_whole_text(self._tokens)
        return self._show(len(self._text))

    def _held_back(self, text: str) -> int:
        """Return how many characters at the end begin a stop sequence."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _show(self, end: int) -> str:
        piece = self._text[self._shown : end] if end > self._shown else ""
        self._shown = max(self._shown, end)
        return piece
