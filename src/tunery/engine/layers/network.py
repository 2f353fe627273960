"""
A base model with places for adapters, and the two ways through it.

*Packed*: one row without padding through transformers' own modules with our attention; for the families that tests have
shown to give the plain result. *Padded*: the plain batch through the untouched forward pass; exact for every causal
model that transformers loads, and slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tunery.engine.encoding import EncodedExample
from tunery.engine.layers import attention
from tunery.engine.layers.attention import Layout
from tunery.engine.layers.lanes import FirstLane, Handover, LanePair, SecondLane
from tunery.engine.layers.lora import Adapter, LoraLinear, RowGroup, adapt, install, row_groups, shape_of
from tunery.engine.layers.loss import Head, answer_loss
from tunery.engine.layers.norms import replace_norms
from tunery.engine.layers.packing import PackedBatch, halfway, lane, pack
from tunery.engine.layers.twin import twin
from tunery.engine.layers.whole_layers import WholeLayers

# Families whose attention goes through the interface with nothing but scale, window and soft cap, whose positions come
# from `position_ids`, and whose logits are a plain head. `tests/engine/layers/test_network.py` holds each of them
# against the padded pass.
PACKED_FAMILIES = frozenset(
    {"llama", "mistral", "smollm3", "starcoder2", "olmo2", "qwen2", "qwen3"}
    | {"gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "phi", "phi3"}
)

# Their kernels read the weight of `out_proj` past its module: an adapter there would be ignored; peft 0.21 refuses it
_BYPASSING_FAMILIES = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})


class Network:
    """
    The frozen model, its adapted layers and its head.

    `model` is changed in place: linear layers get places for adapters, and in packed families norms and attention
    become ours. On a processor the packed pass has two lanes (`lanes.py`): a twin of the model, which shares all its
    weights, takes the second. `packed` and `lanes` say otherwise.
    """

    def __init__(self, model: Any, *, packed: bool | None = None, lanes: bool | None = None) -> None:
        self.model = model
        self.config: Any = model.config
        self.family = str(self.config.model_type)
        self.is_packed = self.family in PACKED_FAMILIES if packed is None else packed
        model.eval().requires_grad_(False)
        projection = model.get_output_embeddings()
        skip = frozenset({"out_proj"}) if self.family in _BYPASSING_FAMILIES else frozenset()
        self.layers: dict[str, LoraLinear] = adapt(model, projection, skip)
        self._decoder: Any = None
        self._second: SecondDecoder | None = None
        self.adapters: dict[int, Adapter] = {}  # by slot, as they were installed
        self._whole = WholeLayers({})
        if self.is_packed:
            replace_norms(model)
            self.config._attn_implementation = attention.NAME
            self.head = Head(projection.weight, projection.bias, getattr(self.config, "final_logit_softcapping", None))
            self._decoder = model.get_decoder()
            self._whole = WholeLayers.of(model)
            if self.device.type == "cpu" if lanes is None else lanes:
                self._second = SecondDecoder(self._decoder, self.layers, self._whole)

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.layers.values())).weight.dtype

    @property
    def device(self) -> torch.device:
        return next(iter(self.layers.values())).weight.device

    def fresh_adapter(self, rank: int, alpha: float, seed: int) -> Adapter:
        wide = torch.promote_types(self.dtype, torch.float32)
        return Adapter.fresh(shape_of(self.layers, rank, alpha), seed, wide).to(self.device)

    def install(self, slot: int, adapter: Adapter, grad: Tensor | None = None) -> None:
        """
        Put an adapter into a slot.

        With `grad` (flat, as the adapter) it can be tuned: gradients are added there. Without, it is kept in the base's
        type.
        """
        self.adapters[slot] = adapter
        install(self.layers, slot, adapter, self.dtype, grad)
        if slot == 0:
            self._whole.install(adapter, self.dtype, grad)
            if self._second is not None:
                self._second.install(adapter, self.dtype, grad)

    def remove(self, slot: int) -> None:
        self.adapters.pop(slot, None)
        if slot == 0:
            self._whole.remove()
            if self._second is not None:
                self._second.remove()
        for layer in self.layers.values():
            layer.pairs.pop(slot, None)

    @contextmanager
    def rows(self, groups: Sequence[RowGroup]) -> Iterator[None]:
        """Say which rows of the packed row of `hidden` use which slot; rows that are not named use none."""
        with row_groups(self.layers, groups):
            yield

    def hidden(self, token_ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        """Run one packed row: token ids and positions `[1, T]` → hidden states `[T, H]`."""
        if not any(layer.groups for layer in self.layers.values()):
            self._whole.refresh()
        return self._hidden(self._decoder, token_ids, positions, layout)

    def loss(self, rows: Sequence[EncodedExample]) -> float:
        """Return the sum of the cross-entropy over all answer tokens of the rows, in nats."""
        with torch.no_grad():
            return self._pass(rows, float, share_prefix=True)

    def add_gradient(self, rows: Sequence[EncodedExample], weight: float = 1.0, *, share_prefix: bool = True) -> float:
        """Add the gradient of `weight` × loss to the place given to `install`; return the loss as `loss` does."""

        def learn(loss: Tensor) -> float:
            (loss * weight).backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        try:
            return self._pass(rows, learn, share_prefix=share_prefix)
        finally:  # after a failure too: who then drops the gradient finds all of it in one place
            if self._second is not None:
                self._second.hand_in_gradient()

    def _pass(self, rows: Sequence[EncodedExample], use: Callable[[Tensor], float], *, share_prefix: bool) -> float:
        """Compute the loss and `use` it in the lane where it arose; return what that gave, summed over the lanes."""
        if not self.is_packed:
            return use(self._padded_loss(rows))
        self._whole.refresh()
        batch = pack(rows, share_prefix=share_prefix)
        second = self._second
        if second is None:
            return use(self._packed_loss(self._decoder, batch))
        cut, handover = halfway(batch, self._answer_cost), Handover()
        parts = (
            lane(batch, 0, cut, FirstLane(handover)),
            lane(batch, cut, batch.token_ids.shape[1], SecondLane(handover, cut)),
        )
        return sum(
            second.lanes.run(
                (
                    lambda: use(self._packed_loss(self._decoder, parts[0])),
                    lambda: use(self._packed_loss(second.decoder, parts[1])),
                ),
                handover,
            )
        )

    @property
    def _answer_cost(self) -> float:
        return self.head.weight.numel() / sum(layer.weight.numel() for layer in self.layers.values())

    def _packed_loss(self, decoder: Any, batch: PackedBatch) -> Tensor:
        device = self.device
        hidden = self._hidden(decoder, batch.token_ids.to(device), batch.positions.to(device), batch.layout)
        return answer_loss(hidden[batch.answer_rows.to(device)], batch.targets.to(device), self.head)

    def _hidden(self, decoder: Any, token_ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        if decoder is None:
            raise AssertionError(f"{self.family} has no packed path")
        output = decoder(input_ids=token_ids, position_ids=positions, use_cache=False, layout=layout)
        return output.last_hidden_state[0]  # type: ignore[no-any-return]

    def _padded_loss(self, rows: Sequence[EncodedExample]) -> Tensor:
        tokens = [torch.tensor(row.token_ids) for row in rows]
        token_ids = pad_sequence(tokens, batch_first=True).to(self.device)
        mask = pad_sequence([torch.ones_like(row) for row in tokens], batch_first=True).to(self.device)
        logits = self.model(input_ids=token_ids, attention_mask=mask, use_cache=False).logits
        wide = torch.promote_types(logits.dtype, torch.float32)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        for row, row_logits in zip(rows, logits, strict=True):
            chosen = row_logits[row.answer_offset - 1 : len(row.token_ids) - 1].to(wide)
            targets = torch.tensor(row.token_ids[row.answer_offset :], device=logits.device)
            total = total + nn.functional.cross_entropy(chosen, targets, reduction="sum")
        return total


class SecondDecoder:
    """The twin that takes the second lane, with a place of its own for the gradient: no two threads write to one."""

    def __init__(self, decoder: Any, layers: dict[str, LoraLinear], whole: WholeLayers) -> None:
        self.decoder = twin(decoder)
        self._first_whole, self._whole = whole, whole.of_twin(decoder, self.decoder)
        self.lanes = LanePair()
        paths = {id(layer): path for path, layer in layers.items()}
        pairs = zip(decoder.modules(), self.decoder.modules(), strict=True)
        self._layers = {paths[id(ours)]: other for ours, other in pairs if id(ours) in paths}
        self._grad: Tensor | None = None
        self._own_grad: Tensor | None = None

    def install(self, adapter: Adapter, dtype: torch.dtype, grad: Tensor | None) -> None:
        self._grad, self._own_grad = grad, None if grad is None else torch.zeros_like(grad)
        install(self._layers, 0, adapter, dtype, self._own_grad)
        self._whole.install_as(self._first_whole, adapter, self._own_grad)

    def remove(self) -> None:
        self._grad = self._own_grad = None
        self._whole.remove()
        for layer in self._layers.values():
            layer.pairs.pop(0, None)

    def hand_in_gradient(self) -> None:
        """Add the gradient of this lane to that of the other."""
        if self._grad is not None and self._own_grad is not None:
            self._grad.add_(self._own_grad)
            self._own_grad.zero_()
