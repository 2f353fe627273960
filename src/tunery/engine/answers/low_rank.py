"""
The low-rank parts of a decoding step: each row gets the product of its own adapter, all rows in two operations.

Adapters of the running rows are copied side by side, into the *bank*; layers that read the same input are one product.
Computed in float32 or wider from the adapters as they were tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor

from tunery.engine.answers.mixture import Mixture, mixture_of
from tunery.engine.layers.lora import Adapter

Pairs = dict[str, tuple[Tensor, Tensor]]  # A and B of an adapter by path
Joints = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Fused:
    """
    Adapted layers (paths, output features of each) that read the same `columns` input features.

    Their outputs side by side are cut into equal `chunk`s, the largest that fit all layers, so that one batched product
    reaches them all; a layer of three chunks uses its A's product three times.
    """

    paths: tuple[str, ...]
    rows: tuple[int, ...]
    columns: int
    input_scale: Tensor | None = None  # the real input is the given one times this `[in]`: the weight of a norm

    @property
    def chunk(self) -> int:
        return gcd(*self.rows)

    @property
    def chunks(self) -> int:
        return sum(self.rows) // self.chunk

    @property
    def owners(self) -> list[int]:
        """Return for each chunk the number of its layer."""
        return [number for number, rows in enumerate(self.rows) for _ in range(rows // self.chunk)]

    def empty(self, count: int, rank: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return room for A `[G, in, layers · rank]` and B `[G, chunks, rank, chunk]` of `count` adapters."""
        down = torch.empty(count, self.columns, len(self.paths) * rank, dtype=dtype)
        return down, torch.empty(count, self.chunks, rank, self.chunk, dtype=dtype)

    def write(self, down: Tensor, up: Tensor, pairs: Pairs, scale: float) -> None:
        """Put an adapter's A and scale · B of these layers into the place of one adapter; the rest becomes zero."""
        down, first = down.zero_().view(self.columns, len(self.paths), -1), 0
        up.zero_()
        for number, (path, rows) in enumerate(zip(self.paths, self.rows, strict=True)):
            count = rows // self.chunk
            if path in pairs:
                a, b = pairs[path]
                rank = len(a)
                down[:, number, :rank] = a.t() if self.input_scale is None else a.t() * self.input_scale[:, None]
                scaled = b.to(up.dtype).view(count, self.chunk, rank).transpose(1, 2) * scale
                up[first : first + count, :rank] = scaled
            first += count


class AdapterBank:
    """
    The adapters of the rows that run now, for each place where layers of the model are fused.

    `arrange` says which row uses which; `add` adds the products of one place to the base's.
    """

    def __init__(self, places: Sequence[Fused], dtype: torch.dtype) -> None:
        self.places, self.dtype = tuple(places), dtype
        self._held: list[Adapter | None] = []  # what the bank holds, in its order
        self._bank: list[tuple[Tensor, Tensor]] = []  # for each place, see Fused.empty
        self._adders: list[Callable[[], object]] = []
        self._known: dict[tuple[int, ...], list[Callable[[], object]]] = {}  # of the adapters that the bank holds
        self._rank = 0

    @property
    def is_empty(self) -> bool:
        """True if all rows use the plain base."""
        return not self._adders

    def arrange(self, rows: Sequence[Adapter | None], joints: Joints) -> None:
        """
        Say which adapter each row uses, None for the plain base; costs little if nothing has changed.

        `joints`: input `[M, in]` and output `[M, out]` tensors of the kinds of places, which take turns.
        """
        wanted = list({id(adapter): adapter for adapter in rows}.values())
        if wanted == [None]:
            self._adders = []
            return
        self._fill(wanted)
        name = (id(joints), *map(id, rows))  # the bank holds these adapters, so no other can have their ids
        if name not in self._known:
            self._known[name] = self._new_adders(rows, wanted, joints)
        self._adders = self._known[name]

    def _new_adders(
        self, rows: Sequence[Adapter | None], wanted: Sequence[Adapter | None], joints: Joints
    ) -> list[Callable[[], object]]:
        mixture, adders = mixture_of(rows, wanted), []
        for number, (place, (down, up)) in enumerate(zip(self.places, self._bank, strict=True)):
            source, target = joints[number % len(joints)]
            parts = down[: len(wanted)], up[: len(wanted)]
            adders.append(adder(place, *parts, source, target, mixture))
        return adders

    def add(self, place: int) -> None:
        """Add the low-rank products of a place to its output, in place."""
        self._adders[place]()

    def _fill(self, wanted: list[Adapter | None]) -> None:
        """Bring the bank into the order of `wanted`, writing only what is not there."""
        rank = max(adapter.shape.rank for adapter in wanted if adapter is not None)
        if rank > self._rank or not self._bank or len(wanted) > len(self._bank[0][0]):
            self._rank = max(rank, self._rank)
            self._bank = []
            self._bank = [place.empty(len(wanted), self._rank, self.dtype) for place in self.places]
            self._held, self._known = [], {}
        for index, adapter in enumerate(wanted):
            if index >= len(self._held) or self._held[index] is not adapter:
                self._write(index, adapter)
                self._known = {}
        self._held = wanted + self._held[len(wanted) :]

    def _write(self, index: int, adapter: Adapter | None) -> None:
        pairs: Pairs = {}
        if adapter is not None:
            pairs = {path: (down, up) for path, down, up in adapter.shape.pairs(adapter.flat)}
        for place, (down, up) in zip(self.places, self._bank, strict=True):
            place.write(down[index], up[index], pairs, 0.0 if adapter is None else adapter.shape.scale)


def adder(
    place: Fused, down: Tensor, up: Tensor, source: Tensor, target: Tensor, mixture: Mixture | None
) -> Callable[[], object]:
    """
    Return what adds the products of `source` to `target`, in place; its tensors are made here, once.

    `down` `[G, in, layers · rank]` and `up` `[G, chunks, rank, chunk]` belong to the rows one to one, or G is 1, or the
    mixture tells.
    """
    count, _, rank, chunk = up.shape
    rows, owners, flat_up = source.shape[0], torch.tensor(place.owners), up.flatten(0, 1)
    if mixture is not None:
        return lambda: target.add_(mixture.products(source, down, flat_up, owners))
    if count == rows:
        return _one_each(down, flat_up, source, target, owners)
    wide = target.view(rows, -1, chunk).transpose(0, 1)

    def one_for_all() -> object:
        narrow = torch.mm(source, down[0]).view(rows, -1, rank).index_select(1, owners)
        return wide.baddbmm_(narrow.transpose(0, 1), flat_up)

    return one_for_all


def _one_each(down: Tensor, up: Tensor, source: Tensor, target: Tensor, owners: Tensor) -> Callable[[], object]:
    _, rank, chunk = up.shape
    rows, wide = source[:, None], target.view(-1, 1, chunk)
    narrow = source.new_empty(len(source), 1, down.shape[2])
    by_layer = narrow.view(len(source), -1, rank)
    if by_layer.shape[1] == len(owners):
        by_chunk = narrow.view(-1, 1, rank)

        def two() -> object:
            torch.bmm(rows, down, out=narrow)
            return wide.baddbmm_(by_chunk, up)

        return two
    spread = source.new_empty(len(source), len(owners), rank)
    by_chunk = spread.view(-1, 1, rank)

    def three() -> object:
        torch.bmm(rows, down, out=narrow)
        torch.index_select(by_layer, 1, owners, out=spread)
        return wide.baddbmm_(by_chunk, up)

    return three
