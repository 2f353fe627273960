"""
A base model with places for adapters, and the two ways through it.

*Packed*: one row without padding through transformers' own modules with our attention; for the families that tests have
shown to give the plain result. *Padded*: the plain batch through the untouched forward pass; exact for every causal
model that transformers loads, and slower. Knows modules and tensors; nothing of files, optimizers or texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tunery.engine.encoding import EncodedExample
from tunery.engine.layers import attention
from tunery.engine.layers.attention import Layout
from tunery.engine.layers.lora import Adapter, LoraLinear, RowGroup, adapt, row_groups, shape_of
from tunery.engine.layers.loss import Head, answer_loss
from tunery.engine.layers.norms import replace_norms
from tunery.engine.layers.packing import PackedBatch, pack

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
    become ours.
    """

    def __init__(self, model: Any, *, packed: bool | None = None) -> None:
        self.model = model
        self.config: Any = model.config
        self.family = str(self.config.model_type)
        self.is_packed = self.family in PACKED_FAMILIES if packed is None else packed
        model.eval().requires_grad_(False)
        projection = model.get_output_embeddings()
        skip = frozenset({"out_proj"}) if self.family in _BYPASSING_FAMILIES else frozenset()
        self.layers: dict[str, LoraLinear] = adapt(model, projection, skip)
        self.adapters: dict[int, Adapter] = {}  # by slot, as they were installed
        if self.is_packed:
            replace_norms(model)
            self.config._attn_implementation = attention.NAME
            self.head = Head(projection.weight, projection.bias, getattr(self.config, "final_logit_softcapping", None))
        self._decoder = model.get_decoder() if self.is_packed else None

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
        for path, down, up in adapter.shape.pairs(adapter.flat):
            if grad is None:
                pair = (down.to(self.dtype), up.to(self.dtype))
            else:
                pair = (nn.Parameter(down), nn.Parameter(up))
            self.layers[path].pairs[slot] = (*pair, adapter.shape.scale)
        if grad is not None:
            for path, down, up in adapter.shape.pairs(grad):
                self.layers[path].pairs[slot][0].grad, self.layers[path].pairs[slot][1].grad = down, up

    def remove(self, slot: int) -> None:
        self.adapters.pop(slot, None)
        for layer in self.layers.values():
            layer.pairs.pop(slot, None)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Answer like the plain base inside."""
        with self.rows([]):
            yield

    @contextmanager
    def rows(self, groups: Sequence[RowGroup]) -> Iterator[None]:
        """Say which rows of a packed row use which slot; rows that are not named use none."""
        with row_groups(self.layers, groups):
            yield

    def hidden(self, token_ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        """Run one packed row: token ids and positions `[1, T]` → hidden states `[T, H]`."""
        if self._decoder is None:
            raise AssertionError(f"{self.family} has no packed path")
        output = self._decoder(input_ids=token_ids, position_ids=positions, use_cache=False, layout=layout)
        return output.last_hidden_state[0]  # type: ignore[no-any-return]

    def loss(self, rows: Sequence[EncodedExample], *, share_prefix: bool = True) -> Tensor:
        """
        Return the sum of the cross-entropy over all answer tokens of the rows, in nats, as a scalar with its gradient.
        """
        if self.is_packed:
            return self._packed_loss(pack(rows, share_prefix=share_prefix))
        return self._padded_loss(rows)

    def _packed_loss(self, batch: PackedBatch) -> Tensor:
        device = self.device
        hidden = self.hidden(batch.token_ids.to(device), batch.positions.to(device), batch.layout)
        return answer_loss(hidden[batch.answer_rows.to(device)], batch.targets.to(device), self.head)

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
