"""
Rows of a decoding step that share adapters unevenly, and their low-rank products in a number of operations that does
not depend on how many adapters there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunery.engine.layers.lora import Adapter


@dataclass(frozen=True, slots=True)
class Mixture:
    """
    Rows that share adapters unevenly: those of one adapter are brought together and filled up to the same number.

    `source` `[G · width]`: the row that stands there (row 0 where none does); `target` `[M]`: where each row stands.
    """

    source: Tensor
    target: Tensor
    width: int

    def products(self, x: Tensor, down: Tensor, up: Tensor, owners: Tensor) -> Tensor:
        """Return the low-rank products `[M, out]` of the rows `x` `[M, in]`; the rest as `low_rank.adder` has it."""
        count, (_, rank, chunk) = len(down), up.shape
        gathered = x.index_select(0, self.source).view(count, self.width, -1)
        narrow = torch.bmm(gathered, down).view(count, self.width, -1, rank).transpose(1, 2).index_select(1, owners)
        wide = torch.bmm(narrow.reshape(-1, self.width, rank), up).view(count, -1, self.width, chunk)
        return wide.transpose(1, 2).reshape(count * self.width, -1).index_select(0, self.target)


def mixture_of(rows: Sequence[Adapter | None], wanted: Sequence[Adapter | None]) -> Mixture | None:
    """Return how rows and adapters of the bank belong together; None if one to one in order, or all to one."""
    if len(wanted) in (1, len(rows)):
        return None
    order = {id(adapter): index for index, adapter in enumerate(wanted)}
    members: list[list[int]] = [[] for _ in wanted]
    for number, adapter in enumerate(rows):
        members[order[id(adapter)]].append(number)
    width = max(len(group) for group in members)
    source = [row for group in members for row in group + [0] * (width - len(group))]
    standing = {row: index * width + rank for index, group in enumerate(members) for rank, row in enumerate(group)}
    return Mixture(torch.tensor(source), torch.tensor([standing[row] for row in range(len(rows))]), width)
