"""
What a token reads of others in a packed row, by attention or by a short convolution, and the gradient.

A layout says which queries see which keys, and which tokens come before another in its example. Grouped queries are
computed without repeating keys. `answers/cache.py` has its own layouts for cached keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

# The attention weights of blocks with at most this many keys are saved for the backward pass. With the 9 heads of the
# default base, this takes up to 9 kB per token and layer, in addition to 15 kB of other activations; recomputing them
# took a sixth of the time of attention.
KEPT_KEYS = 512


@dataclass(frozen=True, slots=True)
class AttentionRule:
    """
    What a layer adds to plain causal attention: a scale for the scores, a sliding window in tokens, a soft cap for the
    scores.
    """

    scaling: float
    window: int | None = None
    softcap: float | None = None


class Layout(Protocol):
    """
    Which query sees which key; `attend` maps `[H, T, D]`, `[K, T, D]`, `[K, T, D]` to `[T, H, D]`.

    If there is a backward pass, it also returns what that needs. `mix` is the convolution of `[T, H]`; see `mixed`.
    """

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> tuple[Tensor, ...]: ...
    def mix(self, layer: int, inputs: Tensor, kernel: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Block:
    """
    Queries `query_start:query_end` see the prefix and the keys `key_start:query_end`, as far as the mask allows.
    """

    query_start: int
    query_end: int
    key_start: int


class Trade(Protocol):
    """How a lane exchanges its keys and values, and their gradient; see `lanes.py`."""

    def share(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]: ...
    def settle(self, grad_key: Tensor, grad_value: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """
    A prefix of `prefix` tokens, then the examples, cut into blocks.

    `positions` `[T]` restart at `prefix` for each example; `numbers` `[T]` give the example that a token belongs to, -1
    for the prefix. A lane of the row has only the queries of its `blocks`; the first query is `start`. With `trunks`
    `[T]`, a token also sees the tokens with that number, which are the prompt shared by several options.
    """

    positions: Tensor
    numbers: Tensor
    prefix: int
    blocks: tuple[Block, ...]
    start: int = 0
    trade: Trade | None = None
    trunks: Tensor | None = None
    _masks: dict[Any, list[Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> tuple[Tensor, ...]:
        del layer
        return attended(query, key, value, self, rule)

    def mix(self, layer: int, inputs: Tensor, kernel: Tensor) -> Tensor:
        del layer
        return mixed(inputs, kernel, self)

    def earlier(self, count: int) -> list[Tensor]:
        """Return the rows of the tokens 1, 2, ..., `count` before each own token in its example, -1 for none."""
        if ("earlier", count) not in self._masks:
            before, rows = self._before(), [torch.arange(len(self.positions))]
            for _ in range(count):
                rows.append(torch.where(rows[-1] < 0, -1, before[rows[-1]]))
            self._masks["earlier", count] = [row[self.start : self.blocks[-1].query_end] for row in rows[1:]]
        return self._masks["earlier", count]

    def _before(self) -> Tensor:
        """Return the row of the token before each token `[T]` of the whole row."""
        before = torch.arange(len(self.positions)) - 1
        continues = (self.numbers == self.numbers.roll(1)) & (self.positions == self.positions.roll(1) + 1)
        for row in (~continues).nonzero().flatten().tolist():
            before[row] = self._last_of_beginning(row)
        return before

    def _last_of_beginning(self, row: int) -> int:
        """Return the row of the token before the first of an example: the end of its prompt or of the prefix."""
        position = self.positions[row]
        if position == 0:
            return -1
        if self.trunks is not None and self.trunks[row] != self.numbers[row]:
            ends = (self.numbers == self.trunks[row]) & (self.positions == position - 1)
            if ends.any():
                return int(ends.nonzero()[0])
        return self.prefix - 1

    def queries(self, block: Block) -> slice:
        return slice(block.query_start - self.start, block.query_end - self.start)

    def masks(self, rule: AttentionRule, groups: int, like: Tensor) -> list[Tensor]:
        """Return the mask that is added to the scores of each block: `[groups × queries, keys]`, 0 or -inf."""
        name = (rule.window, groups, like.dtype, like.device)
        if name not in self._masks:
            self._masks[name] = [self._mask(block, rule.window, groups, like) for block in self.blocks]
        return self._masks[name]

    def keys(self, block: Block, tensor: Tensor) -> Tensor:
        """Return the rows of `tensor` `[K, T, D]` that a block may see: the prefix, then its own rows."""
        own = tensor[:, block.key_start : block.query_end]
        if block.key_start <= self.prefix:
            return tensor[:, : block.query_end]
        return torch.cat((tensor[:, : self.prefix], own), dim=1)

    def add_keys(self, block: Block, total: Tensor, part: Tensor) -> None:
        """Add the gradient of the rows that `keys` returned to `total` `[K, T, D]`."""
        if block.key_start <= self.prefix:
            total[:, : block.query_end] += part
        else:
            total[:, : self.prefix] += part[:, : self.prefix]
            total[:, block.key_start : block.query_end] += part[:, self.prefix :]

    def sees_all(self, block: Block, tensor: Tensor) -> bool:
        """Return whether `keys` returns the whole `tensor`."""
        return block.key_start <= self.prefix and block.query_end == tensor.shape[1]

    def _mask(self, block: Block, window: int | None, groups: int, like: Tensor) -> Tensor:
        index = torch.arange(len(self.positions))
        queries = index[block.query_start : block.query_end, None]
        shown = self.keys(block, index[None, :, None])[0, :, 0][None]
        seen = (shown < self.prefix) | (self.numbers[shown] == self.numbers[queries])  # (queries, keys)
        if self.trunks is not None:
            seen |= self.numbers[shown] == self.trunks[queries]
        distance = self.positions[queries] - self.positions[shown]
        seen &= distance >= 0
        if window is not None:
            seen &= distance < window
        mask = torch.zeros(seen.shape, dtype=like.dtype).masked_fill_(~seen, float("-inf"))
        return mask.repeat(groups, 1).to(like.device)


def attended(
    query: Tensor, key: Tensor, value: Tensor, layout: PackedLayout, rule: AttentionRule
) -> tuple[Tensor, ...]:
    """
    Return softmax(scale · q kᵀ + mask) v `[T, H, D]`, then what the backward pass needs: the keys and values that were
    seen and, for blocks with few keys, the weights; those of other blocks are recomputed.
    """
    heads, tokens, width = query.shape
    groups = heads // key.shape[0]
    if layout.trade is not None:
        key, value = layout.trade.share(key, value)
    output, kept = query.new_empty(tokens, heads, width), []
    for block, mask in zip(layout.blocks, layout.masks(rule, groups, query), strict=True):
        grouped = _group(query[:, layout.queries(block)], groups)
        weights, _ = _weights(grouped, layout.keys(block, key), mask, rule)
        answer = torch.bmm(weights, layout.keys(block, value))
        output[layout.queries(block)] = _ungroup(answer, groups).transpose(0, 1)
        if _is_kept(mask, rule):
            kept.append(weights)
    return output, key, value, *kept


def attention_gradient(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *kept: Tensor,
    layout: PackedLayout,
    rule: AttentionRule,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return the gradients `[H, T, D]`, `[K, T, D]`, `[K, T, D]` of the inputs of `attended`.

    The gradients of keys are summed over blocks in float32 or wider.
    """
    groups, left = query.shape[0] // key.shape[0], list(kept)
    grad_query = torch.empty_like(query)
    grad_key, grad_value = _KeySum(layout, key), _KeySum(layout, value)
    for block, mask in zip(layout.blocks, layout.masks(rule, groups, query), strict=True):
        queries = layout.queries(block)
        grouped, grad_grouped = _group(query[:, queries], groups), _group(grad[queries].transpose(0, 1), groups)
        keys = layout.keys(block, key)
        weights, capped = (left.pop(0), None) if _is_kept(mask, rule) else _weights(grouped, keys, mask, rule)
        grad_value.add(block, torch.bmm(weights.transpose(1, 2), grad_grouped))
        grad_weights = torch.bmm(grad_grouped, layout.keys(block, value).transpose(1, 2))
        scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
        if capped is not None and rule.softcap is not None:
            scores *= 1 - (capped / rule.softcap) ** 2
        grad_query[:, queries] = _ungroup(torch.bmm(scores, keys).mul_(rule.scaling), groups)
        grad_key.add(block, torch.bmm(scores.transpose(1, 2), grouped).mul_(rule.scaling))
    sums = grad_key.total, grad_value.total
    grad_key_sum, grad_value_sum = sums if layout.trade is None else layout.trade.settle(*sums)
    return grad_query, grad_key_sum.to(key.dtype), grad_value_sum.to(value.dtype)


class _KeySum:
    """
    The gradient `[K, T, D]` of keys or values, summed over blocks; if a row has only one block, its gradient is used
    directly.
    """

    def __init__(self, layout: PackedLayout, like: Tensor) -> None:
        self.layout, self.is_whole = layout, len(layout.blocks) == 1 and layout.sees_all(layout.blocks[0], like)
        if not self.is_whole:
            self.total = torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))

    total: Tensor

    def add(self, block: Block, part: Tensor) -> None:
        if self.is_whole:
            self.total = part
        else:
            self.layout.add_keys(block, self.total, part)


def mixed(inputs: Tensor, kernel: Tensor, layout: PackedLayout) -> Tensor:
    """
    Return the sum of each token's input and of those before it in its example, times `kernel`: `[T, H]` → `[T, H]`.

    `kernel` is `[tokens, H]`, with the weights of the token itself last. If the row begins later than its example, by
    a known prefix, `inputs` begin with those of the prefix.
    """
    if layout.trade is not None:
        inputs = joined(*layout.trade.share(*halves(inputs)))
    padded = functional.pad(inputs, (0, 0, 0, 1))  # row -1 is zero
    total = inputs[layout.start :] * kernel[-1]
    for rows, weights in zip(layout.earlier(len(kernel) - 1), kernel[:-1].flip(0), strict=True):
        total.addcmul_(padded[rows.to(inputs.device)], weights)
    return total


def mixed_gradient(grad: Tensor, kernel: Tensor, layout: PackedLayout) -> Tensor:
    """Return the gradient `[T, H]` of the inputs of `mixed`; sums are in float32 or wider."""
    tokens = layout.start + len(grad)
    total = grad.new_zeros(tokens + 1, grad.shape[1], dtype=torch.promote_types(grad.dtype, torch.float32))
    total[layout.start : tokens] = grad * kernel[-1]
    for rows, weights in zip(layout.earlier(len(kernel) - 1), kernel[:-1].flip(0), strict=True):
        total.index_add_(0, rows.to(grad.device) % len(total), (grad * weights).to(total.dtype))
    total = total[:tokens]
    if layout.trade is not None:
        total = joined(*layout.trade.settle(*halves(total)))
    return total.to(grad.dtype)


def halves(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return `[T, H]` as two tensors `[1, T, H/2]`, which are handed over and kept like keys and values."""
    first, second = inputs[None].chunk(2, -1)
    return first, second


def joined(first: Tensor, second: Tensor) -> Tensor:
    """Undo `halves`."""
    return torch.cat((first[0], second[0]), 1)


def _is_kept(mask: Tensor, rule: AttentionRule) -> bool:
    return rule.softcap is None and mask.shape[-1] <= KEPT_KEYS


def _weights(query: Tensor, key: Tensor, mask: Tensor, rule: AttentionRule) -> tuple[Tensor, Tensor | None]:
    """Return the attention weights `[K, G·Q, S]` and, with a soft cap, the capped scores before the mask."""
    if rule.softcap is None:
        scores = torch.baddbmm(mask[None], query, key.transpose(1, 2), alpha=rule.scaling)
        return torch.softmax(scores, -1), None  # sums are in float32, whatever the type
    wide = torch.promote_types(query.dtype, torch.float32)
    capped = torch.tanh(torch.bmm(query, key.transpose(1, 2)).to(wide) * (rule.scaling / rule.softcap)) * rule.softcap
    return torch.softmax(capped + mask, -1).to(query.dtype), capped


def _group(tensor: Tensor, groups: int) -> Tensor:
    """Return `[H, Q, D]` as `[K, G·Q, D]`: the heads that share a key are stacked."""
    heads, queries, width = tensor.shape
    return tensor.reshape(heads // groups, groups * queries, width)


def _ungroup(tensor: Tensor, groups: int) -> Tensor:
    """Return `[K, G·Q, D]` as `[H, Q, D]`."""
    kinds, rows, width = tensor.shape
    return tensor.reshape(kinds * groups, rows // groups, width)
