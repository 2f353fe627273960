"""
A whole decoder layer as one autograd function, for the shape that Llama has and many families share.

    h = x + O(attention(rotate(Q n), rotate(K n), V n))        n = norm(x)
    y = h + down(act(gate m) · up m)                           m = norm(h)

A step of a small base is hundreds of small operations a layer; here they are as few as its mathematics has, and the
gradient is written out, without an entry in autograd's books for each. Only what is dear to compute is kept for it.
`recognition.py` finds out which modules have this shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tunery.engine.layers.attention import AttentionRule, PackedLayout, attended, attention_gradient
from tunery.engine.layers.low_rank import LowRank, Pair
from tunery.engine.layers.norms import norm_gradient, normed


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation and its gradient: of the output and the input."""

    function: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Norm:
    """What `normed` wants to know."""

    scale: Tensor
    epsilon: float
    rounds_first: bool


@dataclass(frozen=True, slots=True)
class Linear:
    """A frozen product: weight `[out, in]`, bias `[out]` or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, rows: Tensor) -> Tensor:
        weight = self.weight.t()
        return rows @ weight if self.bias is None else torch.addmm(self.bias, rows, weight)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The frozen part of a layer. `qkv` has the rows of the query, key and value weights below each other."""

    first_norm: Norm
    qkv: Linear
    output: Linear
    second_norm: Norm
    gate: Linear
    up: Linear
    down: Linear
    activation: Activation
    rule: AttentionRule
    heads: int
    key_heads: int

    def __deepcopy__(self, memo: object) -> LayerWeights:
        return self  # frozen: twins share it


@dataclass(frozen=True, slots=True)
class LayerPairs:
    """The low-rank pairs of a layer; `places` say for each of the four where its gradient goes, empty if nowhere."""

    qkv: LowRank
    output: LowRank
    gate_up: LowRank
    down: LowRank
    places: tuple[Sequence[Pair], Sequence[Pair], Sequence[Pair], Sequence[Pair]] = ((), (), (), ())


@dataclass(frozen=True, slots=True)
class Setting:
    """What a layer is called with besides its input; cosine and sine `[T, 1, D]` of the rotation."""

    weights: LayerWeights
    pairs: LayerPairs | None
    layout: PackedLayout
    cosine: Tensor
    sine: Tensor


def decoder_layer(x: Tensor, setting: Setting) -> Tensor:
    """Map the residual stream `[1, T, H]` to the next layer's; gradients of the pairs go to their places."""
    anchor = x if x.requires_grad else x.new_zeros(()).requires_grad_(setting.pairs is not None)
    return _DecoderLayer.apply(x, anchor, setting)  # type: ignore[no-any-return, no-untyped-call]


class _DecoderLayer(torch.autograd.Function):
    """`anchor` makes autograd ask for the gradient of the first layer too, whose input has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, setting: Setting) -> Tensor:
        del anchor
        output: Tensor
        middle, *first = _attention_half(x[0], setting)
        output, *second = _gated_half(middle, setting)
        ctx.save_for_backward(x, middle, *second, *first)
        ctx.setting = setting
        return output[None]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, None, None]:
        x, middle, *saved = ctx.saved_tensors
        grad = _gated_gradient(grad_outputs[0][0], middle, *saved[:6], setting=ctx.setting)
        grad_x = _attention_gradient(grad, x[0], ctx.needs_input_grad[0], *saved[6:], setting=ctx.setting)
        return None if grad_x is None else grad_x[None], None, None


def _attention_half(x: Tensor, setting: Setting) -> tuple[Any, ...]:
    weights, pairs = setting.weights, setting.pairs
    norm, tokens = weights.first_norm, x.shape[0]
    rows, inverse = normed(x, norm.scale, norm.epsilon, norm.rounds_first)
    qkv = weights.qkv(rows)
    narrow = None if pairs is None else pairs.qkv.add(rows, (qkv,))
    heads = qkv.view(tokens, weights.heads + 2 * weights.key_heads, -1)
    turned = _rotated(heads[:, : -weights.key_heads], setting.cosine, setting.sine)
    query, key = turned[:, : weights.heads].transpose(0, 1), turned[:, weights.heads :].transpose(0, 1)
    value = heads[:, -weights.key_heads :].transpose(0, 1).contiguous()
    seen, *kept = attended(query, key, value, setting.layout, weights.rule)
    answer = seen.view(tokens, -1)
    output = weights.output(answer)
    output_narrow = None if pairs is None else pairs.output.add(answer, (output,))
    return output.add_(x), rows, inverse, narrow, answer, output_narrow, query, *kept


def _gated_half(x: Tensor, setting: Setting) -> tuple[Any, ...]:
    weights, pairs, norm = setting.weights, setting.pairs, setting.weights.second_norm
    rows, inverse = normed(x, norm.scale, norm.epsilon, norm.rounds_first)
    gate, up = weights.gate(rows), weights.up(rows)
    narrow = None if pairs is None else pairs.gate_up.add(rows, (gate, up))
    product = weights.activation.function(gate).mul_(up)
    output = weights.down(product)
    down_narrow = None if pairs is None else pairs.down.add(product, (output,))
    return output.add_(x), rows, inverse, narrow, gate, up, down_narrow


def _gated_gradient(
    grad: Tensor,
    x: Tensor,
    rows: Tensor,
    inverse: Tensor,
    narrow: Tensor,
    gate: Tensor,
    up: Tensor,
    down_narrow: Tensor,
    *,
    setting: Setting,
) -> Tensor:
    weights, pairs = setting.weights, setting.pairs
    assert pairs is not None
    opened = weights.activation.function(gate)
    grad_product = grad @ weights.down.weight
    pairs.down.add_gradient(opened * up, down_narrow, (grad,), grad_product, pairs.places[3])
    grad_gate = weights.activation.gradient(up.mul(grad_product), gate)
    grad_up = grad_product.mul_(opened)
    grad_rows = (grad_gate @ weights.gate.weight).addmm_(grad_up, weights.up.weight)
    pairs.gate_up.add_gradient(rows, narrow, (grad_gate, grad_up), grad_rows, pairs.places[2])
    return norm_gradient(grad_rows, x, weights.second_norm.scale, inverse).add_(grad)


def _attention_gradient(
    grad: Tensor,
    x: Tensor,
    needs_grad: bool,
    rows: Tensor,
    inverse: Tensor,
    narrow: Tensor,
    answer: Tensor,
    output_narrow: Tensor,
    query: Tensor,
    *kept: Tensor,
    setting: Setting,
) -> Tensor | None:
    weights, pairs = setting.weights, setting.pairs
    assert pairs is not None
    grad_answer = grad @ weights.output.weight
    pairs.output.add_gradient(answer, output_narrow, (grad,), grad_answer, pairs.places[1])
    grad_seen = grad_answer.view(len(x), weights.heads, -1)
    gradients = attention_gradient(grad_seen, query, *kept, layout=setting.layout, rule=weights.rule)
    grad_turned = torch.cat([part.transpose(0, 1) for part in gradients[:2]], 1)
    grad_heads = _rotated_back(grad_turned, setting.cosine, setting.sine)
    grad_qkv = torch.cat((grad_heads, gradients[2].transpose(0, 1)), 1).view(len(x), -1)
    grad_rows = grad_qkv @ weights.qkv.weight if needs_grad else None
    pairs.qkv.add_gradient(rows, narrow, (grad_qkv,), grad_rows, pairs.places[0])
    if grad_rows is None:
        return None
    return norm_gradient(grad_rows, x, weights.first_norm.scale, inverse).add_(grad)


def _rotated(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Return `[T, H, D]` after the rotary embedding: x · cos + (-x₂, x₁) · sin."""
    first, second = heads.chunk(2, -1)
    return torch.cat((-second, first), -1).mul_(sine).add_(heads * cosine)


def _rotated_back(grad: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Return the gradient of what went into `_rotated`."""
    first, second = (grad * sine).chunk(2, -1)
    return torch.cat((second, -first), -1).add_(grad * cosine)
