"""
A decoder layer, forward and backward, and the embedding; `network` loops over the layers and has the last norm.

    h = x + r · after(O(attention(turned(Q n), turned(K n), V n)))        n = before(x)
    y = h + r · after(down(act(gate m) · up m))                           m = before(h)

`before` and `after` are norms, or nothing; `r` is 1 in most families. The first half, the mixer, is the only one where
a token reads others. In some layers it is a short convolution, O(C n · mixed(B n · X n)), with two gates B and C, where
`mixed` adds up a few tokens with a weight for each feature. In parallel families both halves read x:
y = x + first half(x) + second half(x). The low-rank part of an adapter is added to every product.

The backward pass is written by hand. A product with the weight W `[out, in]` passes `grad · W` back, to which the
adapter adds its own part. `before'(g)` is the gradient of the norm's input, given the gradient g of its output:

    dh = dy + before'(d gate · W_gate + d up · W_up)           d gate, d up from after'(r · dy) · W_down
    dx = dh + before'(dQ · W_Q + dK · W_K + dV · W_V)          dQ, dK, dV from after'(r · dh) · W_O

In parallel families, the first half gets dy instead of dh. A layer saves the inputs of its products, gate, up and the
statistics of norms; activations, `act(gate m) · up m` and attention weights of long blocks are computed again, which
costs less than keeping them. The gradients of an adapter's weights are added directly to their places. Frozen
weights have none, and neither has the input of the first layer, which comes from the frozen embedding. In shapes, `T`
stands for tokens, of which the last layer has only the wanted ones from O on, `H` for features of the residual stream,
and `D` for features of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tunery.engine.attention import Layout, PackedLayout, attention_gradient, mixed_gradient
from tunery.engine.base_config import Rotation
from tunery.engine.families import DecoderSpec
from tunery.engine.lora import LowRank, Pair
from tunery.engine.weights import DecoderWeights, LayerWeights, Norm


class LayerPairs(NamedTuple):
    """
    The low-rank products for the linear layers of a decoder layer, None where an adapter changes nothing.

    `queries` belongs to the product that gives query, key and value, or both gates and the input of a convolution.
    """

    queries: LowRank | None
    output: LowRank | None
    wide: LowRank | None
    down: LowRank | None


class LayerPlaces(NamedTuple):
    """The tensors that the gradients of a layer's pairs are added to."""

    queries: Sequence[Pair]
    output: Sequence[Pair]
    wide: Sequence[Pair]
    down: Sequence[Pair]


QUERIES, OUTPUT, WIDE, DOWN = range(4)  # places in LayerPairs


@dataclass(frozen=True, slots=True)
class RowPairs:
    """Rows `start:end` (to the last one if `end` is None) use these low-rank products, layer by layer."""

    start: int
    end: int | None
    layers: Sequence[LayerPairs]


Turn = tuple[Tensor, Tensor]  # the cosines and sines of a rotation, [T, W], or [T, 1, W] to turn all heads


@dataclass(frozen=True, slots=True)
class Pass:
    """
    What all layers of a pass share: which rows see which, how heads are rotated, and which rows use which adapter.

    `wanted` are the numbers of the rows needed from the last layer, without repeats, all if None; the others are not
    computed from its product O on. `growth` makes attention sharper at later positions.
    """

    spec: DecoderSpec
    weights: DecoderWeights
    layout: Layout
    turns: Mapping[str | None, Turn | None]
    growth: Tensor | None = None  # [T, 1, 1], the factors of queries
    groups: Sequence[RowPairs] = ()
    wanted: Tensor | None = None

    def wanted_of(self, number: int) -> Tensor | None:
        """Return the rows that are wanted of a layer, None for all."""
        return self.wanted if number == len(self.weights.layers) - 1 else None


# of a norm: 1 / sqrt(mean(x²) + ε), or the mean and 1 / standard deviation for LayerNorm
Statistics = tuple[Tensor, ...]


class Kept(NamedTuple):
    """
    What a layer saves for its backward pass: its input, the input of its feed-forward half, and the values of both
    halves.

    In `AttentionKept`, `ConvolutionKept` and `FeedKept`, `rows` `[T, H]` are the normed input, and `norm` and `after`
    the statistics of the norms before and after the half. `output` is the last product; `forward` may overwrite it,
    because only a norm after it reads it again, and then the half added the norm's own output. `narrow`,
    `output_narrow` and `down_narrow` are the inner values of low-rank products (rows · Aᵀ); layers that read the same
    rows share one.
    """

    x: Tensor
    middle: Tensor
    mixer: AttentionKept | ConvolutionKept
    feed: FeedKept


class ConvolutionKept(NamedTuple):
    """`together` `[T, 3 H]` are both gates and the input, `answer` is the gated convolution, `mixed`."""

    rows: Tensor
    norm: Statistics
    narrow: Tensor | None
    together: Tensor
    mixed: Tensor
    answer: Tensor
    output_narrow: Tensor | None
    output: Tensor
    after: Statistics


class AttentionKept(NamedTuple):
    """
    `unnormed` `[T, heads + key heads, D]` are the query and key heads, saved if they are normed, and `head_norm` the
    statistics; `attended` are keys, values and attention weights as `attention_gradient` takes them; `answer` is what O
    reads.
    """

    rows: Tensor
    norm: Statistics
    narrow: Tensor | None
    unnormed: Tensor | None
    head_norm: Sequence[Statistics]
    query: Tensor
    attended: Sequence[Tensor]
    answer: Tensor
    output_narrow: Tensor | None
    output: Tensor
    after: Statistics


class FeedKept(NamedTuple):
    """`opened` are gate and up before the activation, `[T, inner]` each, or side by side in one product."""

    rows: Tensor
    norm: Statistics
    narrow: Tensor | None
    opened: Sequence[Tensor]
    down_narrow: Tensor | None
    output: Tensor
    after: Statistics


def begin(
    spec: DecoderSpec,
    weights: DecoderWeights,
    layout: Layout,
    positions: Tensor,
    groups: Sequence[RowPairs] = (),
    wanted: Tensor | None = None,
) -> Pass:
    """Return a pass over rows at these positions `[T]`."""
    dtype = weights.embedding.dtype
    turns: dict[str | None, Turn | None] = {None: None}
    for name, rotation in spec.rotations.items():
        cosine, sine = angles(rotation, positions, dtype)
        turns[name] = cosine[:, None], sine[:, None]
    growth = None if spec.query_growth is None else _growth(*spec.query_growth, positions).to(dtype)
    return Pass(spec, weights, layout, turns, growth, groups, wanted)


def _growth(factor: float, tokens: int, positions: Tensor) -> Tensor:
    """Return the factors `[T, 1, 1]` of the queries at these positions `[T]`, in float32."""
    return 1 + factor * torch.log(1 + (positions // tokens).float())[:, None, None]


def angles(rotation: Rotation, positions: Tensor, dtype: torch.dtype) -> Turn:
    """
    Return cosines and sines `[T, W]` of positions `[T]`, computed in float32.

    One position beyond the limit gives all of them the long frequencies, as in transformers.
    """
    frequencies = rotation.frequencies
    if rotation.long is not None and len(positions) and int(positions.max()) >= rotation.limit:
        frequencies = rotation.long
    # (T, W/2); each angle is used for one number of the first and one of the second half
    half = positions[:, None].float() * frequencies.to(positions.device)
    both = torch.cat((half, half), -1)
    return (both.cos() * rotation.scale).to(dtype), (both.sin() * rotation.scale).to(dtype)


def embedded(spec: DecoderSpec, weights: DecoderWeights, token_ids: Tensor, positions: Tensor) -> Tensor:
    """Map token ids `[T]` to the residual stream `[T, H]`."""
    x = weights.embedding[token_ids]  # (T, H)
    if spec.embedding_multiplier != 1:  # rounded the way the family does
        x *= torch.tensor(spec.embedding_multiplier, dtype=torch.float32).to(x.dtype)
    return x if weights.positions is None else x + functional.embedding(positions, weights.positions)


def forward(run: Pass, x: Tensor, number: int) -> tuple[Tensor, Kept]:
    """Map the residual stream `[T, H]` through a layer; the last layer returns only the wanted rows."""
    wanted = run.wanted_of(number)
    half = _convolution_half if run.spec.layers[number].kernel else _attention_half
    added, mixer = half(run, x, number, wanted)
    stream = x if wanted is None else x[wanted]
    if run.spec.is_parallel:
        more, feed = _feed_half(run, stream, number)
        return added.add_(more).add_(stream), Kept(x, stream, mixer, feed)
    middle = added.add_(stream)
    more, feed = _feed_half(run, middle, number)
    return more.add_(middle), Kept(x, middle, mixer, feed)


def backward(run: Pass, grad: Tensor, kept: Kept, number: int, places: LayerPlaces) -> Tensor | None:
    """
    Return the gradient of a layer's input `[T, H]`, None for the first layer, and add the gradients of the pairs to
    `places`.

    `grad` is the gradient of the output of `forward`. All rows use the same adapter, in the only group of the pass.
    """
    (group,) = run.groups
    pairs = group.layers[number]
    stream_grad = _feed_gradient(run, grad, kept, number, pairs, places).add_(grad)
    mixer_grad = _mixer_gradient(run, grad if run.spec.is_parallel else stream_grad, kept, number, pairs, places)
    if mixer_grad is None:
        return None
    wanted = run.wanted_of(number)
    return mixer_grad.add_(stream_grad) if wanted is None else mixer_grad.index_add_(0, wanted, stream_grad)


def _attention_half(run: Pass, x: Tensor, number: int, wanted: Tensor | None) -> tuple[Tensor, AttentionKept]:
    spec, layer, part = run.spec, run.weights.layers[number], run.spec.layers[number]
    rows, norm = normed(x, layer.norms.before_mixer)  # (T, H)
    together = layer.queries(rows)  # (T, (heads + 2 · key heads) · D)
    narrow = _add_low_rank(run, number, QUERIES, rows, (together,))
    heads = _by_head(spec, together)
    turned, head_norm = _heads_normed(spec, heads[:, : -spec.key_heads], layer)
    turned = _turned(spec, turned, run.turns[part.rotation])
    if run.growth is not None:
        turned[:, : spec.heads] *= run.growth
    # (heads, T, D) and (key heads, T, D)
    query, key = turned[:, : spec.heads].transpose(0, 1), turned[:, spec.heads :].transpose(0, 1)
    value = heads[:, -spec.key_heads :].transpose(0, 1).contiguous()  # (key heads, T, D)
    seen, *attended = run.layout.attend(number, query, key, value, part.rule)  # seen: (T, heads, D)
    answer = seen.reshape(len(x), -1)  # (T, heads · D)
    answer = answer if wanted is None else answer[wanted]
    output = layer.output(answer)  # (T, H), of the last layer (wanted, H)
    output_narrow = _add_low_rank(run, number, OUTPUT, answer, (output,))
    added, after = _after(spec, output, layer.norms.after_mixer)
    unnormed = heads[:, : -spec.key_heads] if head_norm else None
    return added, AttentionKept(
        rows, norm, narrow, unnormed, head_norm, query, attended, answer, output_narrow, output, after
    )


def _convolution_half(run: Pass, x: Tensor, number: int, wanted: Tensor | None) -> tuple[Tensor, ConvolutionKept]:
    spec, layer = run.spec, run.weights.layers[number]
    assert layer.kernel is not None
    rows, norm = normed(x, layer.norms.before_mixer)  # (T, H)
    together = layer.queries(rows)  # (T, 3 H)
    narrow = _add_low_rank(run, number, QUERIES, rows, (together,))
    gate_in, gate_out, inputs = together.chunk(3, 1)  # B, C, X
    mixed = run.layout.mix(number, gate_in * inputs, layer.kernel)  # (T, H)
    answer = gate_out * mixed
    answer = answer if wanted is None else answer[wanted]
    output = layer.output(answer)  # (T, H), of the last layer (wanted, H)
    output_narrow = _add_low_rank(run, number, OUTPUT, answer, (output,))
    added, after = _after(spec, output, layer.norms.after_mixer)
    return added, ConvolutionKept(rows, norm, narrow, together, mixed, answer, output_narrow, output, after)


def _feed_half(run: Pass, x: Tensor, number: int) -> tuple[Tensor, FeedKept]:
    spec, layer = run.spec, run.weights.layers[number]
    rows, norm = normed(x, layer.norms.before_feed)
    opened = tuple(linear(rows) for linear in layer.wide)  # (T, inner) each
    narrow = _add_low_rank(run, number, WIDE, rows, opened)
    gate, up = _gate_and_up(spec, opened)
    product = ACTIVATIONS[spec.activation].function(gate)  # (T, inner)
    if up is not None:
        product.mul_(up)
    output = layer.down(product)
    down_narrow = _add_low_rank(run, number, DOWN, product, (output,))
    added, after = _after(spec, output, layer.norms.after_feed)
    return added, FeedKept(rows, norm, narrow, opened, down_narrow, output, after)


def _feed_gradient(run: Pass, grad: Tensor, kept: Kept, number: int, pairs: LayerPairs, places: LayerPlaces) -> Tensor:
    """Return the gradient of the input of the feed-forward part, without the residual stream."""
    spec, layer, feed = run.spec, run.weights.layers[number], kept.feed
    grad = _after_gradient(spec, grad, feed.output, layer.norms.after_feed, feed.after)
    grad_product = grad @ layer.down.weight  # (T, inner)
    gate, up = _gate_and_up(spec, feed.opened)
    activation = ACTIVATIONS[spec.activation]
    active = activation.function(gate)  # recomputed, which is cheaper than saving it
    product = active if up is None else active * up
    _add_gradient(pairs.down, product, feed.down_narrow, (grad,), grad_product, places.down)
    if up is None:
        grads: Sequence[Tensor] = (activation.gradient(grad_product, gate),)
    else:
        gate_grad = activation.gradient(up * grad_product, gate)
        grads = gate_grad, grad_product.mul_(active)
    if len(grads) > len(layer.wide):  # gate and up are a single product
        grads = (torch.cat(tuple(grads), 1),)
    grad_rows = grads[0] @ layer.wide[0].weight  # (T, H)
    for more, linear in zip(grads[1:], layer.wide[1:], strict=True):
        grad_rows.addmm_(more, linear.weight)
    _add_gradient(pairs.wide, feed.rows, feed.narrow, grads, grad_rows, places.wide)
    return norm_gradient(grad_rows, kept.middle, layer.norms.before_feed, feed.norm)


def _mixer_gradient(
    run: Pass, grad: Tensor, kept: Kept, number: int, pairs: LayerPairs, places: LayerPlaces
) -> Tensor | None:
    """Return the gradient of a layer's input through its attention or convolution, None for the first layer."""
    layer, own = run.weights.layers[number], kept.mixer
    grad = _after_gradient(run.spec, grad, own.output, layer.norms.after_mixer, own.after)
    grad_answer = grad @ layer.output.weight  # (T, heads · D), of a convolution (T, H)
    _add_gradient(pairs.output, own.answer, own.output_narrow, (grad,), grad_answer, places.output)
    wanted = run.wanted_of(number)
    if wanted is not None:
        # rows that were left out contribute only through what later rows see of them
        whole = grad_answer.new_zeros(len(kept.x), grad_answer.shape[1])
        grad_answer = whole.index_copy_(0, wanted, grad_answer)
    if isinstance(own, ConvolutionKept):
        together = _convolution_gradient(run, grad_answer, own, layer)
    else:
        together = _attention_gradient(run, grad_answer, own, number)
    grad_rows = together @ layer.queries.weight if number > 0 else None
    _add_gradient(pairs.queries, own.rows, own.narrow, (together,), grad_rows, places.queries)
    return None if grad_rows is None else norm_gradient(grad_rows, kept.x, layer.norms.before_mixer, own.norm)


def _convolution_gradient(run: Pass, grad_answer: Tensor, own: ConvolutionKept, layer: LayerWeights) -> Tensor:
    """Return the gradient of both gates and the input, side by side `[T, 3 H]`."""
    assert isinstance(run.layout, PackedLayout)
    assert layer.kernel is not None
    gate_in, gate_out, inputs = own.together.chunk(3, 1)
    grad_product = mixed_gradient(grad_answer * gate_out, layer.kernel, run.layout)
    return torch.cat((grad_product * inputs, grad_answer * own.mixed, grad_product * gate_in), 1)


def _attention_gradient(run: Pass, grad_answer: Tensor, own: AttentionKept, number: int) -> Tensor:
    """Return the gradient of queries, keys and values side by side."""
    spec, layer, part = run.spec, run.weights.layers[number], run.spec.layers[number]
    assert isinstance(run.layout, PackedLayout)
    grad_seen = grad_answer.view(len(grad_answer), spec.heads, -1)
    query, key, value = attention_gradient(grad_seen, own.query, *own.attended, layout=run.layout, rule=part.rule)
    grad_turned = torch.cat((query.transpose(0, 1), key.transpose(0, 1)), 1)  # (T, heads + key heads, D)
    if run.growth is not None:
        grad_turned[:, : spec.heads] *= run.growth
    grad_turned = _turned_back(spec, grad_turned, run.turns[part.rotation])
    grad_heads = _heads_norm_gradient(spec, grad_turned, own, layer)
    return _side_by_side(spec, torch.cat((grad_heads, value.transpose(0, 1)), 1))


def _add_low_rank(run: Pass, number: int, place: int, rows: Tensor, outputs: Sequence[Tensor]) -> Tensor | None:
    """
    Add the low-rank products of a place to its outputs; return their inner values if all rows use the same adapter.
    """
    narrow = None
    for group in run.groups:
        pairs = group.layers[number][place]
        if pairs is None:
            continue
        if group.start == 0 and group.end is None:
            narrow = pairs.add(rows, outputs)
        else:
            part = slice(group.start, group.end)
            pairs.add(rows[part], [output[part] for output in outputs])
    return narrow


def _add_gradient(
    pairs: LowRank | None,
    rows: Tensor,
    narrow: Tensor | None,
    grads: Sequence[Tensor],
    total: Tensor | None,
    into: Sequence[Pair],
) -> None:
    """
    Add the gradients of the pairs of a place to `into`, and the adapter's part of the gradient of their input to
    `total` `[T, in]`, which already has that of the frozen product; `grads` are those of their outputs.
    """
    if pairs is not None and narrow is not None:
        pairs.add_gradient(rows, narrow, grads, total, into)


def _by_head(spec: DecoderSpec, together: Tensor) -> Tensor:
    """Return `[T, heads + 2 · key heads, D]`: query, key and value heads."""
    tokens = len(together)
    if spec.is_interleaved:  # (T, heads, 3, D): query, key and value of a head are adjacent, so none is shared
        return together.view(tokens, spec.heads, 3, -1).transpose(1, 2).reshape(tokens, 3 * spec.heads, -1)
    return together.view(tokens, spec.heads + 2 * spec.key_heads, -1)


def _side_by_side(spec: DecoderSpec, heads: Tensor) -> Tensor:
    """Undo `_by_head`."""
    tokens = len(heads)
    if spec.is_interleaved:
        return heads.view(tokens, 3, spec.heads, -1).transpose(1, 2).reshape(tokens, -1)
    return heads.view(tokens, -1)


def _heads_normed(spec: DecoderSpec, heads: Tensor, layer: LayerWeights) -> tuple[Tensor, Sequence[Statistics]]:
    """
    Norm query and key heads `[T, heads + key heads, D]`: each head by itself, by one norm whose scale is
    `[heads + key heads, D]`, or all queries together and all keys together, by a norm each.
    """
    norm = layer.head_norm
    if norm is None:
        return heads, ()
    if isinstance(norm, Norm):
        output, statistics = normed(heads, norm)
        return output, (statistics,)
    parts = torch.split(heads, [spec.heads, spec.key_heads], 1)
    (queries, of_queries), (keys, of_keys) = (normed(x.flatten(1), one) for x, one in zip(parts, norm, strict=True))
    return torch.cat((queries, keys), 1).view(heads.shape), (of_queries, of_keys)


def _heads_norm_gradient(spec: DecoderSpec, grad: Tensor, kept: AttentionKept, layer: LayerWeights) -> Tensor:
    norm = layer.head_norm
    if norm is None or kept.unnormed is None:
        return grad
    if isinstance(norm, Norm):
        return norm_gradient(grad, kept.unnormed, norm, kept.head_norm[0])
    sizes = [spec.heads, spec.key_heads]
    grads, unnormed = torch.split(grad, sizes, 1), torch.split(kept.unnormed, sizes, 1)
    parts = zip(grads, unnormed, norm, kept.head_norm, strict=True)
    both = [norm_gradient(part.flatten(1), x.flatten(1), own, found) for part, x, own, found in parts]
    return torch.cat(both, 1).view(grad.shape)


def _turned(spec: DecoderSpec, heads: Tensor, turn: Turn | None) -> Tensor:
    """
    Rotate query and key heads `[T, heads + key heads, D]`.

    Families that turn neighbours turn whole heads. Their numbers are put into halves first and stay there: scores do
    not depend on the order.
    """
    if turn is None:
        return heads
    if spec.turns_neighbours:
        heads = heads.view(*heads.shape[:-1], -1, 2).transpose(-1, -2).flatten(-2)
    return rotated(heads, turn)


def _turned_back(spec: DecoderSpec, grad: Tensor, turn: Turn | None) -> Tensor:
    if turn is None:
        return grad
    grad = rotated_back(grad, turn)
    return grad.view(*grad.shape[:-1], 2, -1).transpose(-1, -2).flatten(-2) if spec.turns_neighbours else grad


def _gate_and_up(spec: DecoderSpec, opened: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return gate and up `[T, inner]`; without a gate, the only product and None."""
    if not spec.is_gated:
        return opened[0], None
    gate, up = opened if len(opened) == 2 else opened[0].chunk(2, -1)
    return gate, up


def _after(spec: DecoderSpec, output: Tensor, norm: Norm | None) -> tuple[Tensor, Statistics]:
    """Return what a half adds to the residual stream; without a norm or a multiplier, it is `output` itself."""
    statistics: Statistics = ()
    if norm is not None:
        output, statistics = normed(output, norm)
    return output if spec.residual_multiplier == 1 else output * spec.residual_multiplier, statistics


def _after_gradient(
    spec: DecoderSpec, grad: Tensor, output: Tensor, norm: Norm | None, statistics: Statistics
) -> Tensor:
    if spec.residual_multiplier != 1:
        grad = grad * spec.residual_multiplier
    return grad if norm is None else norm_gradient(grad, output, norm, statistics)


def normed(x: Tensor, norm: Norm | None) -> tuple[Tensor, Statistics]:
    """
    Return the norm of `x` over its last axis and the statistics for its backward pass; means are computed in float32 or
    wider.
    """
    if norm is None:
        return x, ()
    if norm.bias is not None:
        output, mean, inverse = torch.native_layer_norm(x, norm.scale.shape, norm.scale, norm.bias, norm.epsilon)
        return output, (mean, inverse)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inverse = wide.square().mean(-1, keepdim=True).add_(norm.epsilon).rsqrt_()
    output = wide * inverse
    return output.to(x.dtype) * norm.scale if norm.rounds_first else (output * norm.scale).to(x.dtype), (inverse,)


def norm_gradient(grad: Tensor, x: Tensor, norm: Norm | None, statistics: Statistics) -> Tensor:
    """Return the gradient of the norm with respect to `x`, in the type of `x`."""
    if norm is None:
        return grad
    if norm.bias is not None:
        needed, shape = [True, False, False], norm.scale.shape
        backward = torch.ops.aten.native_layer_norm_backward
        return backward(grad, x, shape, *statistics, norm.scale, norm.bias, needed)[0]  # type: ignore[no-any-return]
    (inverse,) = statistics
    unscaled = x.to(inverse.dtype) * inverse
    scaled = grad.to(inverse.dtype) * norm.scale
    dots = (scaled * unscaled).mean(-1, keepdim=True)
    return scaled.addcmul_(unscaled, dots, value=-1).mul_(inverse).to(x.dtype)


def rotated(heads: Tensor, turn: Turn) -> Tensor:
    """Return `[T, N, D]` with the rotary embedding applied to its first `W` numbers: x · cos + (-x₂, x₁) · sin."""
    cosine, sine = turn
    part = cosine.shape[-1]
    first, second = heads[..., :part].chunk(2, -1)
    output = torch.cat((-second, first), -1).mul_(sine).add_(heads[..., :part] * cosine)
    return output if part == heads.shape[-1] else torch.cat((output, heads[..., part:]), -1)


def rotated_back(grad: Tensor, turn: Turn) -> Tensor:
    """Return the gradient of the input of `rotated`."""
    cosine, sine = turn
    part = cosine.shape[-1]
    first, second = (grad[..., :part] * sine).chunk(2, -1)
    output = torch.cat((second, -first), -1).add_(grad[..., :part] * cosine)
    return output if part == grad.shape[-1] else torch.cat((output, grad[..., part:]), -1)


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation and its gradient: (gradient of the output, input) → gradient of the input."""

    function: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "silu": Activation(functional.silu, torch.ops.aten.silu_backward),
    "gelu": Activation(functional.gelu, torch.ops.aten.gelu_backward),
    "gelu_tanh": Activation(
        lambda x: functional.gelu(x, approximate="tanh"),
        lambda grad, x: torch.ops.aten.gelu_backward(grad, x, approximate="tanh"),
    ),
    "relu": Activation(functional.relu, lambda grad, x: torch.ops.aten.threshold_backward(grad, x, 0)),
    "relu2": Activation(lambda x: functional.relu(x).square(), lambda grad, x: functional.relu(x).mul_(2).mul_(grad)),
}
