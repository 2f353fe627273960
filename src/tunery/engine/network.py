"""
A base in memory with slots for adapters: the packed pass for tuning, and hidden states for answers.

On a CPU, the packed pass has two lanes (`lanes.py`), each a call with its own place for the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tunery.engine.attention import KEPT_KEYS, Layout
from tunery.engine.decoder import (
    Kept,
    LayerPairs,
    LayerPlaces,
    Pass,
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
from tunery.engine.loss import BLOCK_ROWS, Head, Options, answer_loss, option_sums, options_loss
from tunery.engine.memory import available_memory
from tunery.engine.packing import PackedBatch, halfway, lane, pack, pack_options
from tunery.engine.rows import EncodedExample
from tunery.engine.weights import DecoderWeights
from tunery.types import WeightFormat

# of the inner size of the feed-forward part: its values and gradients in the backward pass of a layer, per token
WORK_VALUES = 5
ADAPTER_COPIES = 9  # gradients of two lanes, moments, working copies, and three while a checkpoint is written
TUNED = (RowGroup(0, None, 0),)  # all rows use the adapter of the tuner, if there is one


class Network:
    """
    A frozen decoder and its adapters; slot 0 belongs to the tuner.

    With `lanes` False there is a single lane. `linears` are the layers that an adapter changes, module path → (out,
    in). If it `recomputes`, a pass saves only the input of each layer, and computes the layer again on the way back:
    the same numbers for up to half as much time again.
    """

    is_packed = True

    def __init__(self, spec: DecoderSpec, weights: DecoderWeights, *, lanes: bool | None = None) -> None:
        self.spec, self.weights = spec, weights
        self.adapters: dict[int, Adapter] = {}  # by slot, as installed
        self._copies: dict[int, _Copies] = {}
        self._gradients: tuple[list[LayerPlaces], ...] = ()
        self._grad: Tensor | None = None
        self._second_grad: Tensor | None = None
        self.recomputes = False
        self._lanes = LanePair() if (self.device.type == "cpu" if lanes is None else lanes) else None

    @property
    def lanes(self) -> LanePair | None:
        return self._lanes

    @property
    def family(self) -> str:
        return self.spec.family

    @property
    def head(self) -> Head:
        return self.weights.head

    @property
    def quantized_kinds(self) -> Sequence[str]:
        return self.weights.quantized_kinds

    @property
    def weight_format(self) -> WeightFormat:
        return self.weights.format

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
        """Return how many bytes one token of an answer takes: its keys and values, and inputs of convolutions."""
        spec = self.spec
        numbers = sum(spec.hidden if layer.kernel else 2 * spec.key_heads * spec.width for layer in spec.layers)
        return numbers * dtype.itemsize

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

    def option_scores(
        self, rows: Sequence[EncodedExample], options: Sequence[Sequence[int]], slot: int | None
    ) -> Tensor:
        """Return the log-likelihood `[rows, options]` of each option as the whole answer to the prompt of each row."""
        batch, device = pack_options(rows, options), self.device
        hidden = self.hidden(
            batch.token_ids.to(device), batch.positions.to(device), batch.layout, [RowGroup(0, None, slot)]
        )
        wanted, place = torch.unique(batch.answer_rows, return_inverse=True)
        logits = self.head.drawn_logits(hidden[wanted.to(device)]).to("cpu", torch.float64)
        return option_sums(torch.log_softmax(logits, 1)[place, batch.targets], options)

    @torch.no_grad()
    def mean_states(self, rows: Sequence[EncodedExample], depth: float) -> Tensor:
        """
        Return the mean of the plain base's hidden states where the answer tokens of each row are predicted, `[rows, H]`
        in float32, after a share `depth` of the layers, below 1.
        """
        batch, device = pack(rows), self.device
        token_ids, positions = batch.token_ids.to(device), batch.positions.to(device)
        run = begin(self.spec, self.weights, batch.layout, positions)
        x = embedded(self.spec, self.weights, token_ids, positions)
        for number in range(round(depth * len(self.weights.layers))):
            x, _ = forward(run, x, number)
        states = x[batch.answer_rows.to(device)].to("cpu", torch.float32)
        return torch.stack([part.mean(0) for part in torch.split(states, [row.answer_tokens for row in rows])])

    def loss(self, rows: Sequence[EncodedExample]) -> float:
        """Return the sum of the cross-entropy over all answer tokens of the rows, in nats."""
        return self._pass(rows, None, share_prefix=True)

    def add_gradient(self, rows: Sequence[EncodedExample], weight: float = 1.0, *, share_prefix: bool = True) -> float:
        """Add the gradient of `weight` × loss to the tensor passed to `install`; return the loss like `loss`."""
        with self._gathered():
            return self._pass(rows, weight, share_prefix=share_prefix)

    @torch.no_grad()
    def add_label_gradient(
        self,
        rows: Sequence[EncodedExample],
        shares: Mapping[tuple[int, ...], float],
        plain_weight: float,
        label_weight: float,
    ) -> tuple[float, float]:
        """
        Add the gradient of the weighted sum of two losses; return both as sums in nats, the plain one and that of
        labels.

        `shares` has the complete answers, which include the answer of each row, with the share of the training rows
        that have it. Each lane takes half of the rows, because the probability of an option depends on all others after
        the same prompt.
        """
        self._refresh()
        options, lengths = list(shares), tuple(map(len, shares))

        def work(part: Sequence[EncodedExample], number: int) -> Tensor:
            right = tuple(options.index(row.token_ids[row.answer_offset :]) for row in part)
            how = Options(lengths, tuple(shares.values()), right, plain_weight, label_weight)
            return self._lane(pack_options(part, options), _OptionsObjective(self.head, how), number)

        with self._gathered():
            if self._lanes is None or len(rows) < 2:
                plain, labels = work(rows, 0).tolist()
            else:
                cut = _middle([len(row.token_ids) for row in rows])
                first, second = self._lanes.run((lambda: work(rows[:cut], 0), lambda: work(rows[cut:], 1)), Handover())
                plain, labels = (first + second).tolist()
        return plain, labels

    @contextmanager
    def _gathered(self) -> Iterator[None]:
        """Add the gradients of both lanes after the block; after a failure too, so that all of it can be discarded."""
        try:
            yield
        finally:
            if self._grad is not None and self._second_grad is not None:
                self._grad.add_(self._second_grad)
                self._second_grad.zero_()

    @torch.no_grad()
    def _pass(self, rows: Sequence[EncodedExample], weight: float | None, *, share_prefix: bool) -> float:
        self._refresh()
        batch, objective = pack(rows, share_prefix=share_prefix), _AnswersObjective(self.head, weight)
        if self._lanes is None:
            return float(self._lane(batch, objective, 0))
        cut, handover = halfway(batch, self._answer_cost), Handover()
        first = lane(batch, 0, cut, FirstLane(handover))
        second = lane(batch, cut, len(batch.token_ids), SecondLane(handover, cut))
        works = (lambda: self._lane(first, objective, 0), lambda: self._lane(second, objective, 1))
        return float(sum(self._lanes.run(works, handover)))

    def _lane(self, batch: PackedBatch, objective: _Objective, number: int) -> Tensor:
        """Return the loss of a row or of one of its lanes; add its gradient, if there is one, to the lane's place."""
        device, layers = self.device, range(len(self.weights.layers))
        positions = batch.positions.to(device)
        found = torch.unique(batch.answer_rows, return_inverse=True)
        wanted, place = (part.to(device) for part in found)
        run = begin(self.spec, self.weights, batch.layout, positions, self._row_pairs(TUNED), wanted)
        x = embedded(self.spec, self.weights, batch.token_ids.to(device), positions)
        saved: list[Tensor | Kept] = []
        for layer in layers:
            output, kept = forward(run, x, layer)
            if objective.needs_gradient:
                saved.append(x if self.recomputes else kept)
            x = output
            del kept  # else there would be two layers of it
        hidden, statistics = normed(x, self.weights.last_norm)  # (wanted, H)
        loss, grad = objective(hidden, place, batch.targets.to(device))
        if grad is not None:
            flow: Tensor | None = norm_gradient(grad, x, self.weights.last_norm, statistics)
            for layer in reversed(layers):
                assert flow is not None  # only the input of the first layer needs no gradient
                flow = backward(run, flow, _kept(run, saved.pop(), layer), layer, self._gradients[number][layer])
        return loss

    def fit(self, lengths: Sequence[int], rows: int, adapter_bytes: int) -> int:
        """
        Choose what a pass saves so that the longest `rows` rows fit into memory, and return how many at a time do.

        `lengths` are the tokens of all rows. Computing layers again comes first, because it does not change a number.
        """
        tokens = sum(sorted(lengths, reverse=True)[:rows])
        known = available_memory() if self.device.type == "cpu" else None
        free = math.inf if known is None else known - self.weights.mapped_bytes - ADAPTER_COPIES * adapter_bytes
        self.recomputes = False
        self.recomputes = self.pass_bytes(tokens) > free
        while self.recomputes and rows > 1 and self.pass_bytes(tokens) > free:
            rows, tokens = -(-rows // 2), -(-tokens // 2)
        return rows

    def pass_bytes(self, tokens: int) -> int:
        """Estimate what a pass over this many tokens takes besides weights: what is saved, and one layer at work."""
        spec, itemsize = self.spec, self.dtype.itemsize
        heads = (3 * spec.heads + 2 * spec.key_heads) * spec.width
        layer = 6 * spec.hidden + heads + 2 * spec.inner + spec.heads * min(tokens, KEPT_KEYS)
        saved = spec.hidden if self.recomputes else layer
        widest = max(rows * columns for rows, columns in self.linears.values())
        work = 2 * widest + 2 * BLOCK_ROWS * len(self.head.weight)
        return itemsize * (tokens * (len(spec.layers) * saved + layer + WORK_VALUES * spec.inner) + work)

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


def _middle(lengths: Sequence[int]) -> int:
    """Return where to cut two or more rows so that both parts have about as many tokens."""
    return min(range(1, len(lengths)), key=lambda cut: abs(sum(lengths[:cut]) - sum(lengths[cut:])))


def _kept(run: Pass, saved: Tensor | Kept, layer: int) -> Kept:
    """Return what a layer saves for its backward pass; if only its input was saved, the layer is computed again."""
    return forward(run, saved, layer)[1] if isinstance(saved, Tensor) else saved


class _Objective(Protocol):
    """
    What a pass is for: hidden states `[W, H]`, the `place` `[N]` among them that predicts each of the tokens `targets`
    `[N]` → the loss and its gradient towards the hidden states, None unless `needs_gradient`.
    """

    @property
    def needs_gradient(self) -> bool: ...
    def __call__(self, hidden: Tensor, place: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True, slots=True)
class _AnswersObjective:
    """The sum of the cross-entropy over the answer tokens."""

    head: Head
    weight: float | None

    @property
    def needs_gradient(self) -> bool:
        return self.weight is not None

    def __call__(self, hidden: Tensor, place: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        loss, grad = answer_loss(hidden[place], targets, self.head, self.weight)
        # a row of the shared prefix may predict the first token of several answers
        return loss, None if grad is None else torch.zeros_like(hidden).index_add_(0, place, grad)


@dataclass(frozen=True, slots=True)
class _OptionsObjective:
    """The plain loss and that of labels, `[2]`."""

    head: Head
    options: Options
    needs_gradient: bool = True

    def __call__(self, hidden: Tensor, place: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        plain, labels, gradient = options_loss(hidden, place, targets, self.head, self.options)
        return torch.stack((plain, labels)), gradient


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
    found = []
    for number in range(len(spec.layers)):
        names = spec.names_in(number)
        groups = ((names.queries,), ((names.output,),), tuple((name,) for name in names.wide), ((names.down,),))
        path = f"{names.layer}{number}."
        found.append([[[path + name for name in output] for output in outputs] for outputs in groups])
    return found


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
    return [LayerPlaces(*places) for places in made]
