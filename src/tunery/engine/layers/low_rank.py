"""
The low-rank products of linear layers that read the same rows, as few operations.

    outputs += s · (rows Aᵀ) Bᵀ          A [R, in] of all layers below each other, B [out, R'] per output

Layers whose outputs stand beside each other in one tensor have one block-diagonal B. A and B are working copies in the
type of the base, brought up to date once a step; gradients go straight to their places in the flat gradient, summed in
float32 or wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pair:
    """Views of one layer's weights `A [r, in]`, `B [out, r]` in a flat tensor: of an adapter, or of its gradient."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands: rows of A, the number of its output, rows and columns of that output's B."""

    ranks: slice
    output: int
    rows: slice
    columns: slice


class LowRank:
    """
    The pairs of some layers.

    `pairs`: for each output the layers that stand in it beside each other, from left to right.
    """

    def __init__(self, pairs: Sequence[Sequence[Pair]], scale: float, dtype: torch.dtype) -> None:
        every = [pair for output in pairs for pair in output]
        self.scale, self.pairs = scale, every
        self.down = torch.cat([pair.down for pair in every]).to(dtype)
        self.ups = [_block_diagonal([pair.up for pair in output]).to(dtype) for output in pairs]
        self.places = _places(pairs)
        ends = [0, *(places[-1].ranks.stop for places in self.places)]
        self.ranks = [slice(start, end) for start, end in pairwise(ends)]

    def copies(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parts of the working copies and, in the same order, the weights they are copies of."""
        places = [place for output in self.places for place in output]
        parts = [self.down[place.ranks] for place in places]
        parts += [self.ups[place.output][place.rows, place.columns] for place in places]
        return parts, [pair.down for pair in self.pairs] + [pair.up for pair in self.pairs]

    def add(self, rows: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        """Add to `outputs` `[T, out]` what the pairs give for `rows` `[T, in]`; return rows · Aᵀ for the gradient."""
        narrow = rows @ self.down.t()
        for output, up, ranks in zip(outputs, self.ups, self.ranks, strict=True):
            output.addmm_(narrow[:, ranks], up.t(), alpha=self.scale)
        return narrow

    def add_gradient(
        self, rows: Tensor, narrow: Tensor, grads: Sequence[Tensor], total: Tensor | None, into: Sequence[Pair]
    ) -> None:
        """
        Add the gradient of the pairs to `into`, and that of the rows to `total` `[T, in]`.

        `grads` `[T, out]` belong to the outputs; without places in `into` only the gradient of the rows is wanted.
        """
        parts = [grad @ up for grad, up in zip(grads, self.ups, strict=True)]
        grad_narrow = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        if total is not None:
            total.addmm_(grad_narrow, self.down, alpha=self.scale)
        if not into:
            return
        grad_down, place_of = grad_narrow.t() @ rows, iter(into)
        for grad, ranks, places in zip(grads, self.ranks, self.places, strict=True):
            grad_up = grad.t() @ narrow[:, ranks]
            for place in places:
                pair = next(place_of)
                pair.down.add_(grad_down[place.ranks], alpha=self.scale)
                pair.up.add_(grad_up[place.rows, place.columns], alpha=self.scale)


def _block_diagonal(parts: Sequence[Tensor]) -> Tensor:
    return torch.block_diag(*parts)  # type: ignore[no-any-return, no-untyped-call]


def _places(pairs: Sequence[Sequence[Pair]]) -> list[list[Place]]:
    places: list[list[Place]] = []
    rank = 0
    for number, output in enumerate(pairs):
        row, first = 0, rank
        places.append([])
        for pair in output:
            outs, width = pair.up.shape
            columns = slice(rank - first, rank - first + width)
            places[-1].append(Place(slice(rank, rank + width), number, slice(row, row + outs), columns))
            row, rank = row + outs, rank + width
    return places
