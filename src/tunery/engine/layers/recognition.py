"""
Finds out whether a decoder layer of a model has the shape that `decoder_layer.py` computes as one function.

By its parts, and then by a trial: both compute the same small input and must agree. A layer that differs in anything
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tunery.engine.layers.attention import AttentionRule, Block, PackedLayout
from tunery.engine.layers.decoder_layer import Activation, LayerWeights, Linear, Norm, Setting, decoder_layer
from tunery.engine.layers.lora import LoraLinear
from tunery.engine.layers.norms import RMSNorm

LAYER_PARTS = frozenset({"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"})
ATTENTION_PARTS = ("q_proj", "k_proj", "v_proj", "o_proj")
GATED_PARTS = ("gate_proj", "up_proj", "down_proj")
TRIAL_TOKENS = 3

ACTIVATIONS = (
    Activation(functional.silu, torch.ops.aten.silu_backward),
    Activation(
        lambda x: functional.gelu(x, approximate="tanh"),
        lambda grad, x: torch.ops.aten.gelu_backward(grad, x, approximate="tanh"),
    ),
)


def recognised_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module, LayerWeights]]:
    """Yield path, module and weights of each layer of the shape; layers of one kind have one trial."""
    rules: dict[Hashable, AttentionRule | None] = {}
    for path, layer in list(model.named_modules()):
        activation = _activation(layer) if _has_the_parts(layer) else None
        if activation is None:
            continue
        kind = _kind(layer)
        if kind not in rules:
            rules[kind] = _tried_rule(layer, activation)
        rule = rules[kind]
        if rule is not None:
            yield path, layer, _weights(layer, activation, rule)


def _has_the_parts(layer: Any) -> bool:
    if {name for name, _ in layer.named_children()} != LAYER_PARTS:
        return False
    linears = [
        *(getattr(layer.self_attn, name, None) for name in ATTENTION_PARTS),
        *(getattr(layer.mlp, name, None) for name in GATED_PARTS),
    ]
    weighted = {id(part) for part in layer.modules() if isinstance(part, LoraLinear | RMSNorm)}
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    return (
        all(isinstance(part, LoraLinear) for part in linears)
        and all(isinstance(part, RMSNorm) for part in norms)
        and weighted == {id(part) for part in (*linears, *norms)}
        and next(chain(layer.parameters(), layer.buffers()), None) is None  # ours keep theirs as plain tensors
    )


def _activation(layer: Any) -> Activation | None:
    theirs: Callable[[Tensor], Tensor] | None = getattr(layer.mlp, "act_fn", None)
    weight = layer.mlp.gate_proj.weight
    if theirs is None:
        return None
    for ours in ACTIVATIONS:
        trials = [torch.linspace(-9, 9, 4001).to(weight.device, dtype) for dtype in (torch.float32, weight.dtype)]
        if all(torch.equal(ours.function(trial), theirs(trial)) for trial in trials):
            return ours
    return None


def _kind(layer: Any) -> Hashable:
    """Return everything in which layers of one class may differ but their weights and number."""
    settings = [
        (name, value)
        for part in (layer, layer.self_attn, layer.mlp)
        for name, value in sorted(vars(part).items())
        if isinstance(value, bool | int | float | str | None) and name != "layer_idx"
    ]
    shapes = [
        (*part.weight.shape, part.bias is None) if isinstance(part, LoraLinear) else (part.epsilon, part.rounds_first)
        for part in layer.modules()
        if isinstance(part, LoraLinear | RMSNorm)
    ]
    return type(layer), tuple(settings), tuple(shapes)


class _Probe:
    """A layout that remembers the rule with which a layer calls its attention."""

    def __init__(self) -> None:
        index = torch.arange(TRIAL_TOKENS)
        self.layout = PackedLayout(index, torch.zeros_like(index), 0, (Block(0, TRIAL_TOKENS, 0),))
        self.rule: AttentionRule | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        self.rule = rule
        return self.layout.attend(layer, query, key, value, rule)


def _tried_rule(layer: Any, activation: Activation) -> AttentionRule | None:
    """Return the rule of the layer's attention if our function gives what the layer gives, else None."""
    like, probe = layer.self_attn.q_proj.weight, _Probe()
    width = getattr(layer.self_attn, "head_dim", None)
    if not isinstance(width, int):
        return None
    random = torch.Generator().manual_seed(0)
    x, cosine, sine = (
        torch.randn(1, TRIAL_TOKENS, size, generator=random).to(like) for size in (like.shape[1], width, width)
    )
    x *= 0.01  # what the layer adds shall not drown in its input
    with torch.no_grad():
        theirs = type(layer).forward(
            layer, x, position_embeddings=(cosine, sine), attention_mask=None, use_cache=False, layout=probe
        )
        if probe.rule is None or not isinstance(theirs, Tensor) or theirs.shape != x.shape:
            return None
        weights = _weights(layer, activation, probe.rule)
        setting = Setting(weights, None, probe.layout, cosine.transpose(0, 1), sine.transpose(0, 1))
        difference = decoder_layer(x, setting) - theirs
    # a few roundings: products of another width may sum in another order
    return probe.rule if difference.abs().max() <= 4 * torch.finfo(x.dtype).eps * theirs.abs().max() else None


def _weights(layer: Any, activation: Activation, rule: AttentionRule) -> LayerWeights:
    attention, gated = layer.self_attn, layer.mlp
    width = attention.head_dim
    return LayerWeights(
        first_norm=_norm(layer.input_layernorm),
        qkv=_together([attention.q_proj, attention.k_proj, attention.v_proj]),
        output=Linear(attention.o_proj.weight, attention.o_proj.bias),
        second_norm=_norm(layer.post_attention_layernorm),
        gate=Linear(gated.gate_proj.weight, gated.gate_proj.bias),
        up=Linear(gated.up_proj.weight, gated.up_proj.bias),
        down=Linear(gated.down_proj.weight, gated.down_proj.bias),
        activation=activation,
        rule=rule,
        heads=attention.q_proj.weight.shape[0] // width,
        key_heads=attention.k_proj.weight.shape[0] // width,
    )


def _together(layers: list[LoraLinear]) -> Linear:
    """Return the layers as one product; their own weights become views of its weight, so that no second copy stays."""
    biases = [layer.bias for layer in layers]
    given = [bias for bias in biases if bias is not None]
    missing = [layer.weight.new_zeros(len(layer.weight)) for layer in layers]
    bias = torch.cat([zero if own is None else own for own, zero in zip(biases, missing, strict=True)])
    weight = torch.cat([layer.weight for layer in layers])
    for layer, part in zip(layers, torch.split(weight, [len(layer.weight) for layer in layers]), strict=True):
        layer.weight = part
    return Linear(weight, bias if given else None)


def _norm(norm: RMSNorm) -> Norm:
    return Norm(norm.scale, norm.epsilon, norm.rounds_first)
