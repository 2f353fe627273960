"""
Adapters: their weights in one flat tensor, and their low-rank products with a hand-written gradient.

    y = x Wᵀ + b + s · (x Aᵀ) Bᵀ          W [out, in] frozen, A [r, in], B [out, r] learned, s = alpha / r

Adapter weights are float32, and all weights of an adapter are in one tensor, so that optimizer, clipping and
checkpoints are single operations. Linear layers that read the same rows are combined: their stacked A's are one
product, and layers whose outputs are side by side share a block-diagonal B. A and B are working copies in the type of
the base, updated once per step; gradients are written directly to their places and summed in float32 or wider.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """
    Rank, scale and the adapted layers (module path → out, in) of an adapter; two adapters of one base may differ.

    `is_transposed`: the base stores its linear weights like GPT-2, which has to be stated in PEFT's config.
    """

    rank: int
    alpha: float
    layers: tuple[tuple[str, int, int], ...]
    is_transposed: bool = False

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @property
    def size(self) -> int:
        """Number of values of the flat tensor."""
        return sum(self.rank * (rows + columns) for _, rows, columns in self.layers)

    def pairs(self, flat: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield for each layer its path and views `A [r, in]`, `B [out, r]` of the flat tensor."""
        start = 0
        for path, rows, columns in self.layers:
            middle, end = start + self.rank * columns, start + self.rank * (rows + columns)
            yield path, flat[start:middle].view(self.rank, columns), flat[middle:end].view(rows, self.rank)
            start = end


@dataclass(frozen=True, slots=True)
class Adapter:
    """The weights of an adapter: `flat` `[shape.size]`, float32 (float64 in tests)."""

    shape: AdapterShape
    flat: Tensor

    @classmethod
    def fresh(cls, shape: AdapterShape, seed: int, dtype: torch.dtype = torch.float32) -> Adapter:
        """A is initialized as in PEFT (Kaiming uniform, a = √5) and B is zero, so the model answers like the base."""
        generator = torch.Generator().manual_seed(seed)
        flat = torch.zeros(shape.size, dtype=dtype)
        for _, down, _ in shape.pairs(flat):
            nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        return cls(shape, flat)

    def to(self, device: torch.device) -> Adapter:
        return Adapter(self.shape, self.flat.to(device))


@dataclass(frozen=True, slots=True)
class RowGroup:
    """
    Rows `start:end` of the packed row (to the end if `end` is None) use the adapter in this slot; slot None is the
    plain base.
    """

    start: int
    end: int | None
    slot: int | None


def shape_of(linears: Mapping[str, tuple[int, int]], rank: int, alpha: float, is_transposed: bool) -> AdapterShape:
    """Return the shape of an adapter for these layers, path → (out, in)."""
    return AdapterShape(rank, alpha, tuple((path, *sizes) for path, sizes in linears.items()), is_transposed)


@dataclass(frozen=True, slots=True)
class Pair:
    """Views of a layer's weights `A [r, in]`, `B [out, r]` in a flat tensor, which is an adapter or its gradient."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True)
class Place:
    """
    The place of a layer: its rows of A, the number of its output, and its rows and columns in the B of that output.
    """

    ranks: slice
    output: int
    rows: slice
    columns: slice


class LowRank:
    """
    The pairs of some layers.

    `pairs` has, for each output, the layers that are side by side in it, from left to right.
    """

    def __init__(self, pairs: Sequence[Sequence[Pair]], scale: float, dtype: torch.dtype) -> None:
        every = [pair for output in pairs for pair in output]
        self.scale, self.pairs = scale, every
        self.down = torch.cat([pair.down for pair in every]).to(dtype)  # (R, in)
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
        """
        Add the products of the pairs with `rows` `[T, in]` to `outputs` `[T, out]`; return rows · Aᵀ for the gradient.
        """
        narrow = rows @ self.down.t()
        for output, up, ranks in zip(outputs, self.ups, self.ranks, strict=True):
            output.addmm_(narrow[:, ranks], up.t(), alpha=self.scale)
        return narrow

    def add_gradient(
        self, rows: Tensor, narrow: Tensor, grads: Sequence[Tensor], total: Tensor | None, into: Sequence[Pair]
    ) -> None:
        """
        Add the gradient of the pairs to `into`, and that of the rows to `total` `[T, in]`.

        `grads` `[T, out]` are the gradients of the outputs; without places in `into`, only the gradient of the rows is
        computed.
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
