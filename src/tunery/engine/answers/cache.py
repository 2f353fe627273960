"""
Keys and values of running answers, or the inputs of convolutions, and the two layouts that read and write them.

Each answer has a slot; slots in use are kept together at the front, so that a decoding step is a single product for all
rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tunery.engine.answers.prefixes import KnownPrefix
from tunery.engine.attention import AttentionRule, PackedLayout, Trade, halves, joined
from tunery.engine.lanes import FirstLane

CHUNK_TOKENS = 256  # capacity grows by this many tokens; 12 MB per row for the default base in float32


class KeyValueCache:
    """
    Keys and values `[slots, K, tokens, D]` of each layer; `lengths[slot]` tokens of a slot are filled.

    Buffers are allocated when a layer first writes, and reallocated in the size needed once they are too small. Their
    type is `dtype`, by default the type of the first tensors written.
    """

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self.lengths: list[int] = []
        self._dtype = dtype
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def add_slot(self) -> int:
        self.lengths.append(0)
        return len(self.lengths) - 1

    def free_slot(self, slot: int) -> int:
        """
        Free a slot; the last slot takes its place. Return the slot that was moved (the freed one if it was the last).
        """
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

    def layers(self, slot: int) -> list[tuple[Tensor, Tensor]]:
        """
        Return the keys and values `[K, capacity, D]` of a slot, layer by layer; `lengths[slot]` tokens are filled.
        """
        return [(self._layers[layer][0][slot], self._layers[layer][1][slot]) for layer in sorted(self._layers)]

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for pair in self._layers.values() for part in pair)

    def room(self, layer: int, tokens: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the buffers of a layer with room for all slots and `tokens` tokens; `like` is `[K, T, D]`."""
        slots = len(self.lengths)
        pair = self._layers.get(layer)
        if pair is None or pair[0].shape[0] < slots or pair[0].shape[2] < tokens:
            capacity = capacity_tokens(max(tokens, *self.lengths))
            dtype = self._dtype or like.dtype
            pair = (
                _copied(pair[0] if pair else None, slots, capacity, like, dtype),
                _copied(pair[1] if pair else None, slots, capacity, like, dtype),
            )
            self._layers[layer] = pair
        return pair

    def buffers(self, layers: int, tokens: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the buffers of all layers, in order, as `room` does."""
        return [self.room(layer, tokens, like) for layer in range(layers)]


def capacity_tokens(tokens: int) -> int:
    """Return the capacity, in tokens, of a slot that has to hold `tokens`."""
    return -(-tokens // CHUNK_TOKENS) * CHUNK_TOKENS


def _copied(old: Tensor | None, rows: int, capacity: int, like: Tensor, dtype: torch.dtype) -> Tensor:
    new = like.new_zeros(rows, like.shape[0], capacity, like.shape[2], dtype=dtype)
    if old is not None:
        rows, capacity = min(rows, old.shape[0]), min(capacity, old.shape[2])
        new[:rows, :, :capacity] = old[:rows, :, :capacity]
    return new


@dataclass(frozen=True, slots=True)
class PrefillLayout:
    """
    Attention of packed prompts, which stores their keys and values in the cache; `spans[i]` of the row goes to
    `slots[i]`. With `known`, the row begins after that prefix. In two lanes, the second one stores the whole row.
    """

    packed: PackedLayout
    cache: KeyValueCache
    slots: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    known: KnownPrefix | None = None
    trade: Trade | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> tuple[Tensor, ...]:
        return self.packed.attend(layer, query, *self._stored(layer, key, value), rule)

    def mix(self, layer: int, inputs: Tensor, kernel: Tensor) -> Tensor:
        return self.packed.mix(layer, joined(*self._stored(layer, *halves(inputs))), kernel)

    def _stored(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the row in the cache; return it with what is known of its beginning."""
        if self.known is not None:
            key, value = self.known.before(layer, key, value)
        if self.trade is not None:
            key, value = self.trade.share(key, value)
        if isinstance(self.trade, FirstLane):
            return key, value
        prefix = self.packed.prefix
        longest = max(end - start for start, end in self.spans)
        keys, values = self.cache.room(layer, prefix + longest, key)
        for slot, (start, end) in zip(self.slots, self.spans, strict=True):
            for buffer, new in ((keys, key), (values, value)):
                buffer[slot, :, :prefix] = new[:, :prefix]
                buffer[slot, :, prefix : prefix + end - start] = new[:, start:end]
        return key, value


@dataclass(frozen=True, slots=True)
class DecodeLayout:
    """
    One new token for each slot, in slot order.

    `lengths` `[slots]` are those before the new token. All slots are computed in one product, padded to the longest.
    """

    cache: KeyValueCache
    lengths: Tensor

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> tuple[Tensor, ...]:
        rows, kinds, width = len(self.lengths), key.shape[0], key.shape[2]
        longest = int(self.lengths.max()) + 1
        keys, values = self._stored(layer, key, value)
        grouped = query.transpose(0, 1).reshape(rows, kinds, -1, width)
        wide = torch.promote_types(query.dtype, torch.float32)
        scores = (grouped @ keys[:rows, :, :longest].transpose(2, 3)).to(wide) * rule.scaling
        if rule.softcap is not None:
            scores = torch.tanh(scores / rule.softcap) * rule.softcap
        scores += self._mask(longest, rule.window, scores)
        weights = torch.softmax(scores, -1).to(query.dtype)
        return ((weights @ values[:rows, :, :longest]).reshape(rows, -1, width),)

    def mix(self, layer: int, inputs: Tensor, kernel: Tensor) -> Tensor:
        firsts, seconds = self._stored(layer, *halves(inputs))
        index, total = torch.arange(len(inputs), device=inputs.device), inputs * kernel[-1]
        for before, weights in enumerate(kernel[:-1].flip(0), 1):
            place = (self.lengths - before).clamp(min=0)
            earlier = torch.cat((firsts[index, 0, place], seconds[index, 0, place]), 1).to(inputs.dtype)
            total.addcmul_(earlier * (self.lengths >= before)[:, None], weights)
        return total

    def _stored(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new token of each slot in the cache; return the buffers of the layer."""
        keys, values = self.cache.room(layer, int(self.lengths.max()) + 1, key)
        index = torch.arange(len(self.lengths), device=key.device)
        keys[index, :, self.lengths] = key.transpose(0, 1).to(keys.dtype)
        values[index, :, self.lengths] = value.transpose(0, 1).to(values.dtype)
        return keys, values

    def _mask(self, longest: int, window: int | None, like: Tensor) -> Tensor:
        distance = self.lengths[:, None] - torch.arange(longest, device=like.device)
        hidden = distance < 0
        if window is not None:
            hidden |= distance >= window
        mask = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(hidden, float("-inf"))
        return mask[:, None, None]
