"""
From logits to tokens, and from tokens to pieces of text that can be shown: sampling, guessing ahead, streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tunery.engine.encoding import LOST_CHARACTER
from tunery.types import SamplingSettings


def next_token(
    logits: Tensor, settings: SamplingSettings, generator: torch.Generator, tokens: Sequence[int] = ()
) -> int:
    """
    Draw the next token from logits `[V]`, given the `tokens` of the answer so far.

    Temperature 0 takes the likeliest. Otherwise temperature is applied first, then `top_k`, then the smallest set of
    tokens whose probabilities reach `top_p`, in the same order as in transformers.
    """
    if tokens and (settings.presence_penalty or settings.frequency_penalty):
        logits = _penalised(logits, settings, tokens)
    if settings.temperature == 0:
        return _likeliest(logits)
    scores, places = _likeliest_first(logits.to("cpu", torch.float32) / settings.temperature, settings.top_k)
    probabilities = torch.softmax(scores, -1)
    if settings.top_p < 1:
        before = probabilities.cumsum(0) - probabilities
        probabilities = probabilities[before < settings.top_p]
    return int(places[torch.multinomial(probabilities, 1, generator=generator)])


def _likeliest_first(scores: Tensor, count: int | None) -> tuple[Tensor, Tensor]:
    """Return the highest scores and their indices, equal ones in the order of their indices; all if `count` is None."""
    if count is None or count >= len(scores):
        return scores.sort(descending=True, stable=True)
    places = (scores >= scores.topk(count).values[-1]).nonzero()[:, 0]  # sorting 49,152 takes ten times as long
    scores, order = scores[places].sort(descending=True, stable=True)
    return scores[:count], places[order[:count]]


def _likeliest(logits: Tensor) -> int:
    """Return the index of the highest logit; among 49,152 on a CPU, numpy finds it in 12 µs, torch in 131."""
    return int(logits.numpy().argmax() if logits.device.type == "cpu" else logits.argmax())


def _penalised(logits: Tensor, settings: SamplingSettings, tokens: Sequence[int]) -> Tensor:
    """Return the logits minus the penalties (platform.openai.com/docs, "frequency and presence penalties")."""
    seen, counts = torch.unique(torch.tensor(tokens, device=logits.device), return_counts=True)
    lowered = logits.clone()
    lowered[seen] -= settings.presence_penalty + settings.frequency_penalty * counts.to(logits.dtype)
    return lowered


class Lookup:
    """
    Guesses the next tokens of a row from the row itself: the tokens that followed an earlier occurrence of its last
    two.

    Answers repeat labels, names and phrases from their prompts. A guess costs only the extra rows in the next step, and
    is used only after the model has confirmed it.
    """

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
        """Return up to `most` tokens that may come next, none if the last two have not occurred together before."""
        if len(self._tokens) < 2:
            return []
        place = self._places.get((self._tokens[-2], self._tokens[-1]), len(self._tokens))
        return self._tokens[place : place + most]


# decoded again with each token, once the text before them is certain; a thousand take a millisecond
_WINDOW_TOKENS = 16


class TextStream:
    """
    The text of one answer.

    It holds back incomplete characters and text that may become a stop sequence, so that the joined pieces equal the
    whole text. `push` takes a token and returns the text that is now certain; `is_stopped` is True once a stop sequence
    has occurred (its text is cut off); at the end, `flush` returns the text held back, converted with `to_whole_text`,
    which drops an incomplete character. `is_additive`: if tokens are split between two characters, their text is that
    of the parts.
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
        self._before = ""  # the text of tokens that are no longer stored
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
        """Return the number of characters at the end that begin a stop sequence."""
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
