"""
Rows of token ids, as tuning and answering read them: prompt and answer of one example in one row.

Without torch, so that an estimate of memory and time can be made where no tensor is; `encoding.py` makes them, and
`packing.py` lays a batch of them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """
    Token ids of prompt and answer in one row; the answer begins at `answer_offset` ≥ 1.

    `was_cut`: the end of the input was left out, because the row was longer than the window of its base.
    """

    token_ids: tuple[int, ...]
    answer_offset: int
    was_cut: bool = False  # of tuning: a prompt that is too long is refused

    @property
    def answer_tokens(self) -> int:
        """Tokens that are learned, the end of the turn among them."""
        return len(self.token_ids) - self.answer_offset


def shared_prefix_tokens(rows: Sequence[EncodedExample]) -> int:
    """Return how many leading tokens all rows share, leaving each row at least one."""
    # a row without a token of its own would have no hidden state to predict its answer from
    shortest = min(len(row.token_ids) for row in rows) - 1
    first = rows[0].token_ids  # any row: they are compared with each other
    for index in range(shortest):
        if any(row.token_ids[index] != first[index] for row in rows):
            return index
    return shortest
