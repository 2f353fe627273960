"""
Finds the fewest tokens that complete a constrained answer.

Grammars do not provide this, so it is searched for: strings and brackets are closed with the longest tokens that do so,
forced tokens are followed, and where there is a choice, a few ways are tried. The result always completes the answer,
and is nearly always as short as possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLOSING_TEXT = re.compile(rb'"[]}]*')
_CLOSING = re.compile(rb' ?(""|\[\]|\{\})[]}]*|[]}]+')  # the shortest values, and brackets
_FILLING = re.compile(rb"-+|[a-z0-9]{1,2}")  # for a text that has to be longer
_MARKS = re.compile(rb"[@.]")  # in addresses, see JSON schema's "format"
_TEXT_SHARE = 0.4  # share of the vocabulary; if more is allowed, the answer is inside a string with free text
_WAYS = 4  # tried at each place
_DEVIATIONS = 2  # from the best choice, along one way to the end
_LENGTHS = (4, 16, 64)  # tried one after another, because a way may have no end
_MAX_PLACES = 200  # visited for each length, each in about 0.1 ms


class Endings:
    """Finds endings with the tokens of one base."""

    def __init__(self, tokenizer: Any) -> None:
        texts = self._texts = [bytes(tokenizer.decode_bytes([token])) for token in range(tokenizer.vocab_size)]
        self._by_length = np.array(sorted(range(len(texts)), key=lambda token: -len(texts[token])))
        self.quote = next((token for token, text in enumerate(texts) if text == b'"'), None)
        self._closing_text, self._closing, self._filling, self._marks = (
            np.array([token for token in self._by_length if kind.fullmatch(texts[token])], dtype=np.int64)
            for kind in (_CLOSING_TEXT, _CLOSING, _FILLING, _MARKS)
        )

    def have_quotes(self, tokens: Sequence[int]) -> bool:
        """Return whether these tokens begin or end a string."""
        return any(b'"' in self._texts[token] for token in tokens)

    def shortest(self, matcher: Any, most: int) -> list[int] | None:
        """Return the tokens that complete an answer, at most `most`; None if no such ending is found."""
        lengths = [length for length in _LENGTHS if length < most]
        return next((found for length in (*lengths, most) if (found := _Search(self, length).found(matcher))), None)

    def ways(self, matcher: Any) -> Iterator[list[int]]:
        """Yield possible next tokens on the way to the end, the best first."""
        if forced := matcher.compute_ff_tokens():
            yield forced
            return
        allowed = allowed_tokens(matcher)
        is_text = np.count_nonzero(allowed) > _TEXT_SHARE * len(self._texts)
        closing, others = (self._closing_text, self._filling) if is_text else (self._closing, self._by_length)
        closing, others, marks = (tokens[allowed[tokens]] for tokens in (closing, others, self._marks))
        tokens = [*closing[:_WAYS], *others[:1], *(marks if is_text and not len(closing) else ()), *others[1:_WAYS]]
        yield from ([int(token)] for token in tokens[:_WAYS])


def allowed_tokens(matcher: Any) -> NDArray[np.bool_]:
    """Return for each token of the vocabulary whether it is allowed next."""
    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    return np.unpackbits(bits, bitorder="little").astype(bool)


class _Search:
    def __init__(self, endings: Endings, most: int) -> None:
        self._endings, self._most = endings, most
        self._places = 0
        self._best: list[int] | None = None

    def found(self, matcher: Any) -> list[int] | None:
        self._visit(matcher, [], _DEVIATIONS)
        return self._best

    def _visit(self, matcher: Any, path: list[int], deviations: int) -> None:
        longest = self._most if self._best is None else len(self._best) - 1
        if len(path) > longest or self._places >= _MAX_PLACES:
            return
        if matcher.is_accepting():
            self._best = path
            return
        self._places += 1
        for rank, tokens in enumerate(self._endings.ways(matcher)):
            if rank > 0 and deviations == 0:
                return
            ahead = matcher.deep_copy()
            if ahead.consume_tokens(tokens):
                self._visit(ahead, [*path, *tokens], deviations - (rank > 0))
