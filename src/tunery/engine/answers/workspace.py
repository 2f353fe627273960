"""
The tensors that a decoding step writes to, made once for a number of rows, with all the views of them that it needs.

With few rows a step is hundreds of operations of a microsecond; making a tensor or a view takes as long as computing
with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Sizes:
    """`hidden` and `inner` features; query `heads`, key-value `kinds` and `width` of a head."""

    hidden: int
    inner: int
    heads: int
    kinds: int
    width: int


class Workspace:
    """
    Buffers of `M` rows: `state` `[M, hidden]` runs through the layers, others hold what one operation leaves to the
    next.

    Names ending in `_low` are in the type of the base, all others in `dtype`; where both are one type they are one
    tensor. `joints` are the inputs and outputs of the four places with low-rank parts. With `is_one_answer` the rows
    are successive tokens of one answer, which share its keys and values.
    """

    def __init__(self, rows: int, sizes: Sizes, low: torch.dtype, dtype: torch.dtype, is_one_answer: bool) -> None:
        heads, kinds, width = sizes.heads, sizes.kinds, sizes.width
        self.rows, self.is_low = rows, low != dtype
        self.state = torch.empty(rows, sizes.hidden, dtype=dtype)
        self.state_row, self.state_column = self.state[:, None], self.state[:, :, None]
        self.squares = torch.empty(rows, 1, 1, dtype=dtype)
        self.inverse = self.squares[:, 0]
        self.even = torch.empty_like(self.state)  # the state over its root mean square
        self.normed_low = torch.empty(rows, sizes.hidden, dtype=low)
        self.together = torch.empty(rows, (heads + 2 * kinds) * width, dtype=dtype)
        by_head = self.together.view(rows, -1, width)
        self.unturned, self.value = by_head[:, : heads + kinds], by_head[:, heads + kinds :]
        self.turned = torch.empty(rows, heads + kinds, width, dtype=dtype)
        self._query, self._key = self.turned[:, :heads], self.turned[:, heads:]
        groups, self.is_one_answer = heads // kinds, is_one_answer
        shape = (kinds, rows * groups, width) if is_one_answer else (rows * kinds, groups, width)
        self.answer = torch.empty(shape, dtype=dtype)
        flat = torch.empty(rows, heads * width, dtype=dtype) if is_one_answer else self.answer.view(rows, heads * width)
        self._by_token = self.answer
        if is_one_answer:
            self._by_token = self.answer.view(kinds, rows, groups, width).transpose(0, 1)
        self._flat_by_head = flat.view(self._by_token.shape)
        self.answer_low = torch.empty(flat.shape, dtype=low) if self.is_low else flat
        self.both = torch.empty(rows, 2 * sizes.inner, dtype=dtype)
        self.gate, self.up = self.both[:, : sizes.inner], self.both[:, sizes.inner :]
        self.inner = torch.empty(rows, sizes.inner, dtype=dtype)
        self.inner_low = torch.empty(self.inner.shape, dtype=low) if self.is_low else self.inner
        self.flat_answer = flat
        self.joints = (
            (self.even, self.together),
            (flat, self.state),
            (self.even, self.both),
            (self.inner, self.state),
        )
        self._as_groups, self._as_tokens = shape, (rows * kinds, width)
        if rows == 1:  # views stay right; with more rows the parts of a row must be brought together
            self.query, self.new_keys = self._query.view(self._as_groups), self._key.view(self._as_tokens)
            self.new_values = self.value.view(self._as_tokens)

    def arrange_heads(self) -> None:
        """Bring `query`, `new_keys` and `new_values` up to date: `[M · K, G, D]` (or `[K, M · G, D]`), `[M · K, D]`."""
        if self.rows == 1:
            return
        query = self._query
        if self.is_one_answer:
            query = query.view(self._flat_by_head.shape).transpose(0, 1)
        self.query, self.new_keys = query.reshape(self._as_groups), self._key.reshape(self._as_tokens)
        self.new_values = self.value.reshape(self._as_tokens)

    def gather_answer(self) -> None:
        """Bring `answer_low` up to date."""
        if self.is_one_answer:
            self._flat_by_head.copy_(self._by_token)
        if self.is_low:
            self.answer_low.copy_(self.flat_answer)
