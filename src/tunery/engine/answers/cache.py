"""
Keys and values of running answers, and the two layouts that read and write them.

Each answer has a slot; slots in use are kept together at the front, so that one decoding step is one product for all
rows. Knows tensors; nothing of texts, adapters or sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tunery.engine.layers.attention import AttentionRule, PackedLayout

FIRST_TOKENS = 128  # capacity grows by doubling


class KeyValueCache:
    """
    Keys and values `[slots, K, tokens, D]` of each layer; `lengths[slot]` tokens of a slot are filled.

    Buffers are made when a layer first writes, and grow as needed.
    """

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def add_slot(self) -> int:
        self.lengths.append(0)
        return len(self.lengths) - 1

    def free_slot(self, slot: int) -> int:
        """Free a slot; the last one takes its place. Return the slot that moved (the freed one if it was the last)."""
        last = len(self.lengths) - 1
        if slot != last:
            for keys, values in self._layers.values():
                length = self.lengths[last]
                keys[slot, :, :length], values[slot, :, :length] = keys[last, :, :length], values[last, :, :length]
            self.lengths[slot] = self.lengths[last]
        self.lengths.pop()
        if not self.lengths:
            self._layers.clear()
        return last

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for pair in self._layers.values() for part in pair)

    def room(self, layer: int, tokens: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the buffers of a layer with room for all slots and `tokens` tokens; `like` is `[K, T, D]`."""
        slots = len(self.lengths)
        pair = self._layers.get(layer)
        if pair is None or pair[0].shape[0] < slots or pair[0].shape[2] < tokens:
            capacity = FIRST_TOKENS
            while capacity < tokens:
                capacity *= 2
            rows = slots if pair is None else max(slots, pair[0].shape[0])
            if pair is not None:
                capacity = max(capacity, pair[0].shape[2])
            pair = (
                _grown(pair[0] if pair else None, rows, capacity, like),
                _grown(pair[1] if pair else None, rows, capacity, like),
            )
            self._layers[layer] = pair
        return pair


def _grown(old: Tensor | None, rows: int, capacity: int, like: Tensor) -> Tensor:
    new = like.new_zeros(rows, like.shape[0], capacity, like.shape[2])
    if old is not None:
        new[: old.shape[0], :, : old.shape[2]] = old
    return new


@dataclass(frozen=True, slots=True)
class PrefillLayout:
    """
    Attention of packed prompts, which leaves their keys and values in the cache; `spans[i]` of the row goes to
    `slots[i]`.
    """

    packed: PackedLayout
    cache: KeyValueCache
    slots: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        prefix = self.packed.prefix
        longest = max(end - start for start, end in self.spans)
        keys, values = self.cache.room(layer, prefix + longest, key)
        for slot, (start, end) in zip(self.slots, self.spans, strict=True):
            for buffer, new in ((keys, key), (values, value)):
                buffer[slot, :, :prefix] = new[:, :prefix]
                buffer[slot, :, prefix : prefix + end - start] = new[:, start:end]
        return self.packed.attend(layer, query, key, value, rule)


@dataclass(frozen=True, slots=True)
class DecodeLayout:
    """
    One new token for each slot, in slot order.

    `lengths` `[slots]` before the new token. All slots are computed in one product over the longest of them.
    """

    cache: KeyValueCache
    lengths: Tensor

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        rows, kinds, width = len(self.lengths), key.shape[0], key.shape[2]
        longest = int(self.lengths.max()) + 1
        keys, values = self.cache.room(layer, longest, key)
        index = torch.arange(rows, device=key.device)
        keys[index, :, self.lengths] = key.transpose(0, 1)
        values[index, :, self.lengths] = value.transpose(0, 1)
        grouped = query.transpose(0, 1).reshape(rows, kinds, -1, width)
        wide = torch.promote_types(query.dtype, torch.float32)
        scores = (grouped @ keys[:rows, :, :longest].transpose(2, 3)).to(wide) * rule.scaling
        if rule.softcap is not None:
            scores = torch.tanh(scores / rule.softcap) * rule.softcap
        scores += self._mask(longest, rule.window, scores)
        weights = torch.softmax(scores, -1).to(query.dtype)
        return (weights @ values[:rows, :, :longest]).reshape(rows, -1, width)

    def _mask(self, longest: int, window: int | None, like: Tensor) -> Tensor:
        distance = self.lengths[:, None] - torch.arange(longest, device=like.device)
        hidden = distance < 0
        if window is not None:
            hidden |= distance >= window
        mask = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(hidden, float("-inf"))
        return mask[:, None, None]
