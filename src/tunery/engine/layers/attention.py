"""
Attention over a packed row, registered with transformers' attention interface.

A layout says which queries see which keys; this module does the products and their gradient, in grouped-query form
without repeating keys. Knows tensors and positions; nothing of examples, tokenizers or adapters.
`generator.py` brings a layout of its own for cached keys and values; both have an `attend` method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "tunery"


@dataclass(frozen=True, slots=True)
class AttentionRule:
    """
    What a layer adds to plain causal attention: scale of the scores, sliding window in tokens, soft cap of the scores.
    """

    scaling: float
    window: int | None = None
    softcap: float | None = None


class Layout(Protocol):
    """Which query sees which key; `attend` maps `[H, T, D]`, `[K, T, D]`, `[K, T, D]` to `[T, H, D]`."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Block:
    """
    Queries `query_start:query_end` see, as far as the mask lets them, the prefix and the keys `key_start:query_end`.
    """

    query_start: int
    query_end: int
    key_start: int


class Trade(Protocol):
    """What a lane does with its keys and values, and with their gradient; see `lanes.py`."""

    def share(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]: ...
    def settle(self, grad_key: Tensor, grad_value: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """
    Prefix of `prefix` tokens, then the examples, cut into blocks.

    `positions` `[T]` restart at `prefix` for each example; `numbers` `[T]` tell which example a token belongs to, -1 is
    the prefix. A lane of the row has the queries of its `blocks` alone, the first of them is `start`.
    """

    positions: Tensor
    numbers: Tensor
    prefix: int
    blocks: tuple[Block, ...]
    start: int = 0
    trade: Trade | None = None
    _masks: dict[Any, list[Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        del layer
        return _PackedAttention.apply(query, key, value, self, rule)  # type: ignore[no-any-return, no-untyped-call]

    def queries(self, block: Block) -> slice:
        return slice(block.query_start - self.start, block.query_end - self.start)

    def masks(self, rule: AttentionRule, groups: int, like: Tensor) -> list[Tensor]:
        """Return for each block what is added to the scores: `[groups × queries, keys]`, 0 or -inf."""
        name = (rule.window, groups, like.dtype, like.device)
        if name not in self._masks:
            self._masks[name] = [self._mask(block, rule.window, groups, like) for block in self.blocks]
        return self._masks[name]

    def keys(self, block: Block, tensor: Tensor) -> Tensor:
        """Return the rows of `tensor` `[K, T, D]` that a block may see: the prefix, then its own."""
        own = tensor[:, block.key_start : block.query_end]
        if block.key_start <= self.prefix:
            return tensor[:, : block.query_end]
        return torch.cat((tensor[:, : self.prefix], own), dim=1)

    def add_keys(self, block: Block, total: Tensor, part: Tensor) -> None:
        """Add the gradient of what `keys` returned to `total` `[K, T, D]`."""
        if block.key_start <= self.prefix:
            total[:, : block.query_end] += part
        else:
            total[:, : self.prefix] += part[:, : self.prefix]
            total[:, block.key_start : block.query_end] += part[:, self.prefix :]

    def _mask(self, block: Block, window: int | None, groups: int, like: Tensor) -> Tensor:
        index = torch.arange(len(self.positions))
        queries = index[block.query_start : block.query_end, None]
        shown = self.keys(block, index[None, :, None])[0, :, 0][None]
        seen = (shown < self.prefix) | (self.numbers[shown] == self.numbers[queries])
        distance = self.positions[queries] - self.positions[shown]
        seen &= distance >= 0
        if window is not None:
            seen &= distance < window
        mask = torch.zeros(seen.shape, dtype=like.dtype).masked_fill_(~seen, float("-inf"))
        return mask.repeat(groups, 1).to(like.device)


class _PackedAttention(torch.autograd.Function):
    """
    softmax(scale · q kᵀ + mask) v, block by block; scores are computed again for the gradient instead of kept.

    Sums of the keys' gradients over blocks are taken in float32 or wider.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: PackedLayout, rule: AttentionRule
    ) -> Tensor:
        heads, tokens, width = query.shape
        groups = heads // key.shape[0]
        output = query.new_empty(tokens, heads, width)
        if layout.trade is not None:
            key, value = layout.trade.share(key, value)
        for block, mask in zip(layout.blocks, layout.masks(rule, groups, query), strict=True):
            grouped = _group(query[:, layout.queries(block)], groups)
            weights, _ = _weights(grouped, layout.keys(block, key), mask, rule)
            answer = torch.bmm(weights, layout.keys(block, value))
            output[layout.queries(block)] = _ungroup(answer, groups).transpose(0, 1)
        ctx.save_for_backward(query, key, value, output)
        ctx.layout, ctx.rule = layout, rule
        return output

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, output = ctx.saved_tensors
        layout, rule, groups = ctx.layout, ctx.rule, query.shape[0] // key.shape[0]
        grad = grad_outputs[0]
        wide = torch.promote_types(key.dtype, torch.float32)
        grad_query = torch.empty_like(query)
        grad_key, grad_value = torch.zeros_like(key, dtype=wide), torch.zeros_like(value, dtype=wide)
        for block, mask in zip(layout.blocks, layout.masks(rule, groups, query), strict=True):
            queries = layout.queries(block)
            grouped = _group(query[:, queries], groups)
            grad_grouped = _group(grad[queries].transpose(0, 1), groups)
            keys, values = layout.keys(block, key), layout.keys(block, value)
            weights, capped = _weights(grouped, keys, mask, rule)
            layout.add_keys(block, grad_value, torch.bmm(weights.transpose(1, 2), grad_grouped))
            # Σ weights · grad_weights over the keys equals the product of output and its gradient
            dots = (grad[queries].to(wide) * output[queries].to(wide)).sum(-1).transpose(0, 1)
            grad_scores = torch.bmm(grad_grouped, values.transpose(1, 2)).to(wide)
            grad_scores.sub_(dots.reshape(key.shape[0], -1, 1)).mul_(weights)
            if capped is not None and rule.softcap is not None:
                grad_scores *= 1 - (capped / rule.softcap) ** 2
            scores = grad_scores.mul_(rule.scaling).to(query.dtype)
            grad_query[:, queries] = _ungroup(torch.bmm(scores, keys), groups)
            layout.add_keys(block, grad_key, torch.bmm(scores.transpose(1, 2), grouped))
        if layout.trade is not None:
            grad_key, grad_value = layout.trade.settle(grad_key, grad_value)
        return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype), None, None


def _weights(query: Tensor, key: Tensor, mask: Tensor, rule: AttentionRule) -> tuple[Tensor, Tensor | None]:
    """Return the attention weights `[K, G·Q, S]` and, with a soft cap, the capped scores before the mask."""
    wide = torch.promote_types(query.dtype, torch.float32)
    if rule.softcap is None:
        scores = torch.baddbmm(mask[None], query, key.transpose(1, 2), alpha=rule.scaling)
        return torch.softmax(scores, -1, dtype=wide).to(query.dtype), None
    capped = torch.tanh(torch.bmm(query, key.transpose(1, 2)).to(wide) * (rule.scaling / rule.softcap)) * rule.softcap
    return torch.softmax(capped + mask, -1).to(query.dtype), capped


def _group(tensor: Tensor, groups: int) -> Tensor:
    """Return `[H, Q, D]` as `[K, G·Q, D]`: the heads that share a key stand below each other."""
    heads, queries, width = tensor.shape
    return tensor.reshape(heads // groups, groups * queries, width)


def _ungroup(tensor: Tensor, groups: int) -> Tensor:
    """Return `[K, G·Q, D]` as `[H, Q, D]`."""
    kinds, rows, width = tensor.shape
    return tensor.reshape(kinds * groups, rows // groups, width)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    layout: Layout | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """
    Attention as transformers calls it: `[1, H, T, D]` in, `[1, T, H, D]` out; the layout comes down through the
    keywords.

    `attention_mask` is always None: transformers makes no mask for an interface it does not know.
    """
    del attention_mask
    if layout is None:
        raise AssertionError("the model was called without a layout")
    rule = AttentionRule(query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, softcap)
    output = layout.attend(int(getattr(module, "layer_idx", 0)), query[0], key[0], value[0], rule)
    return output[None], None


ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
