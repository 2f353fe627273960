"""
Rows of token ids, as tuning and answering read them: the prompt and the answer of one example in one row.

This module does not need torch, so that memory and time can be estimated without loading it; `encoding.py` makes rows,
and `packing.py` lays out a batch of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """
    Token ids of prompt and answer in one row; the answer begins at `answer_offset` ≥ 1.

    `was_cut`: the end of the input was left out, because the row was longer than the window of the base.
    """

    token_ids: tuple[int, ...]
    answer_offset: int
    was_cut: bool = False  # only in tuning; a prompt that is too long is refused

    @property
    def answer_tokens(self) -> int:
        """The number of tokens that are learned, including the end of the turn."""
        return len(self.token_ids) - self.answer_offset


def shared_prefix_tokens(rows: Sequence[EncodedExample]) -> int:
    """Return how many leading tokens all rows share, leaving each row at least one."""
    # a row without any token of its own would have no hidden state from which to predict its answer
    shortest = min(len(row.token_ids) for row in rows) - 1
    first = rows[0].token_ids  # any row will do, since all are compared with it
    for index in range(shortest):
        if any(row.token_ids[index] != first[index] for row in rows):
            return index
    return shortest


def shares_of_answers(rows: Sequence[EncodedExample]) -> dict[tuple[int, ...], float]:
    """Return each answer with its share of the rows, in an order that does not depend on that of the rows."""
    counts = Counter(row.token_ids[row.answer_offset :] for row in rows)
    return {answer: counts[answer] / len(rows) for answer in sorted(counts)}
