"""
A base in memory with slots for adapters: the packed pass for tuning, and hidden states for answers.

On a CPU, the packed pass has two lanes (`lanes.py`), each a call with its own place for the gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunery.engine.attention import Layout
from tunery.engine.decoder import (
    LayerPairs,
    LayerPlaces,
    RowPairs,
    backward,
    begin,
    embedded,
    forward,
    norm_gradient,
    normed,
)
from tunery.engine.families import DecoderSpec
from tunery.engine.lanes import FirstLane, Handover, LanePair, SecondLane
from tunery.engine.lora import Adapter, LowRank, Pair, RowGroup, shape_of
from tunery.engine.loss import Head, answer_loss
from tunery.engine.packing import PackedBatch, halfway, lane, pack
from tunery.engine.rows import EncodedExample
from tunery.engine.weights import DecoderWeights

TUNED = (RowGroup(0, None, 0),)  # all rows use the adapter of the tuner, if there is one


class Network:
    """
    A frozen decoder and its adapters; slot 0 belongs to the tuner.

    With `lanes` False there is a single lane. `linears` are the layers that an adapter changes, module path → (out,
    in).
    """

    is_packed = True

    def __init__(self, spec: DecoderSpec, weights: DecoderWeights, *, lanes: bool | None = None) -> None:
        self.spec, self.weights = spec, weights
        self.adapters: dict[int, Adapter] = {}  # by slot, as installed
        self._copies: dict[int, _Copies] = {}
        self._gradients: tuple[list[LayerPlaces], ...] = ()
        self._grad: Tensor | None = None
        self._second_grad: Tensor | None = None
        self._lanes = LanePair() if (self.device.type == "cpu" if lanes is None else lanes) else None

    @property
    def family(self) -> str:
        return self.spec.family

    @property
    def head(self) -> Head:
        return self.weights.head

    @property
    def linears(self) -> Mapping[str, tuple[int, int]]:
        return self.weights.linears

    @property
    def is_transposed(self) -> bool:
        return self.spec.is_transposed

    @property
    def dtype(self) -> torch.dtype:
        return self.weights.embedding.dtype

    @property
    def device(self) -> torch.device:
        return self.weights.embedding.device

    def token_bytes(self, dtype: torch.dtype) -> int:
        """Return how many bytes the keys and values of one token of an answer take."""
        return len(self.spec.layers) * 2 * self.spec.key_heads * self.spec.width * dtype.itemsize

    def fresh_adapter(self, rank: int, alpha: float, seed: int) -> Adapter:
        wide = torch.promote_types(self.dtype, torch.float32)
        shape = shape_of(self.linears, rank, alpha, self.is_transposed)
        return Adapter.fresh(shape, seed, wide).to(self.device)

    def install(self, slot: int, adapter: Adapter, grad: Tensor | None = None) -> None:
        """
        Put an adapter into a slot; with `grad` (flat, like the adapter) it can be tuned, and gradients are added to
        `grad`.
        """
        self.adapters[slot] = adapter
        self._copies[slot] = _Copies.of(adapter, self.weights, self.spec, self.dtype)
        if slot == 0:
            self._grad = grad
            self._second_grad = None if grad is None or self._lanes is None else torch.zeros_like(grad)
            flats = [flat for flat in (grad, self._second_grad) if flat is not None]
            self._gradients = tuple(_places(adapter, flat, self.weights, self.spec) for flat in flats)

    def remove(self, slot: int) -> None:
        self.adapters.pop(slot, None)
        self._copies.pop(slot, None)
        if slot == 0:
            self._gradients, self._grad, self._second_grad = (), None, None

    @torch.no_grad()
    def hidden(
        self, token_ids: Tensor, positions: Tensor, layout: Layout, groups: Sequence[RowGroup] = TUNED
    ) -> Tensor:
        """
        Run one packed row: token ids and positions `[T]` → hidden states `[T, H]`.

        `groups` say which rows use which slot; other rows, and rows of empty slots, use the plain base.
        """
        self._refresh()
        run = begin(self.spec, self.weights, layout, positions, self._row_pairs(groups))
        x = embedded(self.spec, self.weights, token_ids, positions)
        for number in range(len(self.weights.layers)):
            x, _ = forward(run, x, number)
        return normed(x, self.weights.last_norm)[0]

    def logits_of(self, rows: Sequence[EncodedExample], slot: int | None) -> Tensor:
        """Return the logits `[N, V]` that predict the answer tokens of rows, for sampling."""
        batch, device = pack(rows), self.device
        groups = [RowGroup(0, None, slot)]
        hidden = self.hidden(batch.token_ids.to(device), batch.positions.to(device), batch.layout, groups)
        return self.head.drawn_logits(hidden[batch.answer_rows.to(device)])

    def loss(self, rows: Sequence[EncodedExample]) -> float:
        """Return the sum of the cross-entropy over all answer tokens of the rows, in nats."""
        return self._pass(rows, None, share_prefix=True)

    def add_gradient(self, rows: Sequence[EncodedExample], weight: float = 1.0, *, share_prefix: bool = True) -> float:
        """Add the gradient of `weight` × loss to the tensor passed to `install`; return the loss like `loss`."""
        try:
            return self._pass(rows, weight, share_prefix=share_prefix)
        finally:  # after a failure too, so that the gradient to be discarded is all in one place
            if self._grad is not None and self._second_grad is not None:
                self._grad.add_(self._second_grad)
                self._second_grad.zero_()

    @torch.no_grad()
    def _pass(self, rows: Sequence[EncodedExample], weight: float | None, *, share_prefix: bool) -> float:
        self._refresh()
        batch = pack(rows, share_prefix=share_prefix)
        if self._lanes is None:
            return float(self._lane(batch, weight, 0))
        cut, handover = halfway(batch, self._answer_cost), Handover()
        first = lane(batch, 0, cut, FirstLane(handover))
        second = lane(batch, cut, len(batch.token_ids), SecondLane(handover, cut))
        works = (lambda: self._lane(first, weight, 0), lambda: self._lane(second, weight, 1))
        return float(sum(self._lanes.run(works, handover)))

    def _lane(self, batch: PackedBatch, weight: float | None, number: int) -> Tensor:
        """Return the loss of a row or of one of its lanes; with `weight`, add its gradient to the lane's place."""
        device, layers = self.device, range(len(self.weights.layers))
        positions = batch.positions.to(device)
        found = torch.unique(batch.answer_rows, return_inverse=True)
        wanted, place = (part.to(device) for part in found)
        run = begin(self.spec, self.weights, batch.layout, positions, self._row_pairs(TUNED), wanted)
        x, kept = embedded(self.spec, self.weights, batch.token_ids.to(device), positions), []
        for layer in layers:
            x, own = forward(run, x, layer)
            if weight is not None:
                kept.append(own)
        hidden, statistics = normed(x, self.weights.last_norm)  # (wanted, H)
        loss, grad = answer_loss(hidden[place], batch.targets.to(device), self.head, weight)
        if grad is not None:
            # one row of the shared prefix may predict the first token of several answers
            gathered = torch.zeros_like(hidden).index_add_(0, place, grad)
            flow: Tensor | None = norm_gradient(gathered, x, self.weights.last_norm, statistics)
            for layer in reversed(layers):
                assert flow is not None  # only the input of the first layer needs no gradient
                flow = backward(run, flow, kept.pop(), layer, self._gradients[number][layer])
        return loss

    @property
    def _answer_cost(self) -> float:
        return self.head.weight.numel() / sum(rows * columns for rows, columns in self.linears.values())

    def _row_pairs(self, groups: Sequence[RowGroup]) -> list[RowPairs]:
        found = [(group, self._copies.get(group.slot)) for group in groups if group.slot is not None]
        return [RowPairs(group.start, group.end, copies.layers) for group, copies in found if copies is not None]

    def _refresh(self) -> None:
        """Update the working copies of the adapter being tuned from its weights."""
        if 0 in self._copies:
            self._copies[0].refresh()


Views = Mapping[str, Pair]


@dataclass(frozen=True, slots=True)
class _Copies:
    """
    The low-rank products of an adapter, layer by layer, and their working copies with the tensors they are copies of.
    """

    layers: list[LayerPairs]
    copies: list[Tensor]
    weights: list[Tensor]

    @classmethod
    def of(cls, adapter: Adapter, weights: DecoderWeights, spec: DecoderSpec, dtype: torch.dtype) -> _Copies:
        views, own = _views(adapter, adapter.flat, weights), {path for path, *_ in adapter.shape.layers}
        made = []
        for places in _layer_paths(spec):
            changed = [any(path in own for output in place for path in output) for place in places]
            low_ranks = [
                LowRank([[views[path] for path in output] for output in place], adapter.shape.scale, dtype)
                if is_so
                else None
                for place, is_so in zip(places, changed, strict=True)
            ]
            made.append(LayerPairs(*low_ranks))
        found = [low_rank.copies() for pairs in made for low_rank in pairs if low_rank is not None]
        return cls(made, [part for parts, _ in found for part in parts], [part for _, parts in found for part in parts])

    def refresh(self) -> None:
        if self.copies:
            torch._foreach_copy_(self.copies, self.weights)


def _layer_paths(spec: DecoderSpec) -> list[list[list[list[str]]]]:
    """
    For each layer and place, as in LayerPairs, return its outputs: the paths of the linear layers side by side in each.
    """
    names = spec.names
    groups = ((names.queries,), ((names.output,),), tuple((name,) for name in names.wide), ((names.down,),))
    return [
        [[[f"{names.layer}{number}.{name}" for name in output] for output in outputs] for outputs in groups]
        for number in range(len(spec.layers))
    ]


def _views(adapter: Adapter, flat: Tensor, weights: DecoderWeights) -> Views:
    """Return the pairs of a flat tensor by path, with zeros for layers that an adapter made elsewhere leaves out."""
    views = {path: Pair(down, up) for path, down, up in adapter.shape.pairs(flat)}
    rank = adapter.shape.rank
    for path, (rows, columns) in weights.linears.items():
        if path not in views:
            views[path] = Pair(flat.new_zeros(rank, columns), flat.new_zeros(rows, rank))
    return views


def _places(adapter: Adapter, flat: Tensor, weights: DecoderWeights, spec: DecoderSpec) -> list[LayerPlaces]:
    """Return the places of the gradients of the pairs in a flat gradient."""
    views = _views(adapter, flat, weights)
    made = ([[views[path] for output in place for path in output] for place in places] for places in _layer_paths(spec))
    return [(queries, output, wide, down) for queries, output, wide, down in made]
