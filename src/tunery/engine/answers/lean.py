"""
One decoding step of a recognised family with few operations: one new token for each running row.

At one row calling the modules of a small model takes longer than its products; this way is 26 operations a layer, 35
with adapters, on tensors made beforehand. The base's products read each matrix once for all rows; everything between
them is in float32 or wider, also where the base is bfloat16. Modules of another
shape than Llama's stay with transformers' own code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tunery.engine.answers.cache import KeyValueCache
from tunery.engine.answers.low_rank import AdapterBank, Fused
from tunery.engine.answers.native.step import LayerParts, ModelParts, NativeStep, NormParts
from tunery.engine.answers.products import Product
from tunery.engine.answers.step_inputs import StepInputs
from tunery.engine.answers.threads import ThreadChoice
from tunery.engine.answers.workspace import Sizes, Workspace
from tunery.engine.conversion import FourBitWeight
from tunery.engine.layers.lora import Adapter
from tunery.engine.layers.network import Network
from tunery.engine.layers.norms import RMSNorm

# Families of one shape: RMS norm, query/key/value, rotation of whole heads, causal attention with or without a window,
# RMS norm, gated feed-forward. Their tests hold each against transformers.
LEAN_FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
_STEADY_POSITIONS = frozenset({"default", "linear", "llama3"})  # rotations that do not depend on the length of the row

_FUSED = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)

Forms = tuple[Callable[[Tensor], Tensor], ...]  # products for a number of rows, as _FUSED
ReadFourBit = Callable[[], Mapping[str, FourBitWeight]]


@dataclass(frozen=True, slots=True)
class _Norm:
    """x / sqrt(mean(x²) + ε) × scale, over the last axis."""

    scale: Tensor
    epsilon: Tensor

    def of_state(self, space: Workspace) -> Tensor:
        """Norm the state; leaves it without the scale in `even`, returns it with the scale in the type of the base."""
        torch.baddbmm(
            self.epsilon, space.state_row, space.state_column, alpha=1 / space.state.shape[1], out=space.squares
        )
        torch.mul(space.state, space.inverse.rsqrt_(), out=space.even)
        return torch.mul(space.even, self.scale, out=space.normed_low)

    def __call__(self, x: Tensor) -> Tensor:
        inverse = x.square().mean(-1, keepdim=True).add_(self.epsilon).rsqrt_()
        return (x * inverse).mul_(self.scale)


@dataclass(frozen=True, slots=True)
class _Layer:
    """The parts of one layer; `head_norm` for families that norm each head of query and key."""

    norms: tuple[_Norm, _Norm]
    products: tuple[Product, ...]  # as _FUSED
    head_norm: _Norm | None
    window: int | None


class LeanModel:
    """
    A resident base as decoding reads it; `of` says whether there is one for a network. Made once, used by any number of
    generators. Weights are brought into their fast forms at the first step: those of the compiled step where it can be
    used (`is_compiled` False: never), else those of torch's operations.
    """

    def __init__(self, network: Network, read_four_bit: ReadFourBit | None, is_compiled: bool) -> None:
        self.network = network
        self._is_compiled = is_compiled
        self.native: NativeStep | None = None
        self.dtype = torch.promote_types(network.dtype, torch.float32)
        self._decoder: Any = network.model.get_decoder()
        self._read_four_bit = read_four_bit
        self._layers: list[_Layer] = []
        attention = self._decoder.layers[0].self_attn
        self._scaling = float(attention.scaling)
        self._sizes = Sizes(
            hidden=int(network.config.hidden_size),
            inner=int(network.config.intermediate_size),
            heads=int(network.config.num_attention_heads),
            kinds=int(network.config.num_key_value_heads),
            width=int(attention.head_dim),
        )
        self._made: dict[tuple[int, bool], tuple[Workspace, list[Forms]]] = {}
        self._threads = ThreadChoice()

    @classmethod
    def of(
        cls, network: Network, read_four_bit: ReadFourBit | None = None, *, is_compiled: bool = True
    ) -> LeanModel | None:
        """Return the lean form of a network, None if it is not recognised as a whole."""
        return cls(network, read_four_bit, is_compiled) if is_recognised(network) else None

    def bank(self) -> AdapterBank:
        """Return an empty bank for the adapters of one generator."""
        count = len(self._decoder.layers)
        return AdapterBank([self._fused(index, names) for index in range(count) for names in _FUSED], self.dtype)

    def logits(
        self, token_ids: Sequence[int], cache: KeyValueCache, bank: AdapterBank, adapters: Sequence[Adapter | None]
    ) -> Tensor:
        """
        Return the logits `[M, V]` that follow one new token for each slot of the cache, in slot order.

        Keys and values of the tokens are added to the cache; `cache.lengths` are left to the caller.
        """
        return self._timed(token_ids, cache, bank, adapters, False)

    def logits_ahead(
        self, token_ids: Sequence[int], cache: KeyValueCache, bank: AdapterBank, adapter: Adapter | None
    ) -> Tensor:
        """Return the logits `[T, V]` that follow each of these successive tokens of the only slot of the cache."""
        return self._timed(token_ids, cache, bank, [adapter] * len(token_ids), len(token_ids) > 1)

    def _timed(
        self,
        token_ids: Sequence[int],
        cache: KeyValueCache,
        bank: AdapterBank,
        adapters: Sequence[Adapter | None],
        is_one_answer: bool,
    ) -> Tensor:
        self._prepare()
        if self.native is not None:
            return self.native.logits(token_ids, cache, adapters, is_one_answer)
        with self._threads.step((len(token_ids), is_one_answer)):
            space, forms = self._space(len(token_ids), is_one_answer)
            bank.arrange(adapters, space.joints)
            return self._step(token_ids, cache, bank, space, forms)

    def _step(
        self, token_ids: Sequence[int], cache: KeyValueCache, bank: AdapterBank, space: Workspace, forms: list[Forms]
    ) -> Tensor:
        ahead, groups = (len(token_ids), self._sizes.heads // self._sizes.kinds) if space.is_one_answer else (1, 0)
        rotary = self._decoder.rotary_emb
        inputs = StepInputs.make(rotary, cache, ahead, groups, self.network.dtype, self.dtype)
        space.state.copy_(functional.embedding(torch.tensor(token_ids), self._decoder.embed_tokens.weight))
        for index, layer in enumerate(self._layers):
            self._threads.watch()
            self._attend(index, layer, forms[index], space, inputs, bank)
            self._feed(index, layer, forms[index], space, bank)
        last = self._last_norm.of_state(space)
        return self.network.head.sharpen(forms[-1][0](last).to(self.dtype), last)

    def _attend(
        self, index: int, layer: _Layer, forms: Forms, space: Workspace, inputs: StepInputs, bank: AdapterBank
    ) -> None:
        space.together.copy_(forms[0](layer.norms[0].of_state(space)))
        if not bank.is_empty:
            bank.add(4 * index)
        unturned = space.unturned if layer.head_norm is None else layer.head_norm(space.unturned)
        torch.bmm(unturned, inputs.rotation, out=space.turned)
        space.arrange_heads()
        memory = inputs.memories[index]
        memory.keys.index_copy_(0, inputs.places, space.new_keys)
        memory.values.index_copy_(0, inputs.places, space.new_values)
        scores = torch.baddbmm(inputs.mask(layer.window), space.query, memory.seen_keys, alpha=self._scaling)
        torch.bmm(torch.softmax(scores, -1), memory.seen_values, out=space.answer)
        space.gather_answer()
        space.state.add_(forms[1](space.answer_low))
        if not bank.is_empty:
            bank.add(4 * index + 1)

    def _feed(self, index: int, layer: _Layer, forms: Forms, space: Workspace, bank: AdapterBank) -> None:
        space.both.copy_(forms[2](layer.norms[1].of_state(space)))
        if not bank.is_empty:
            bank.add(4 * index + 2)
        torch.mul(functional.silu(space.gate), space.up, out=space.inner)
        if space.is_low:
            space.inner_low.copy_(space.inner)
        space.state.add_(forms[3](space.inner_low))
        if not bank.is_empty:
            bank.add(4 * index + 3)

    def _space(self, rows: int, is_one_answer: bool) -> tuple[Workspace, list[Forms]]:
        """Return buffers and products for so many rows, made once: 35 kB a row for the default base."""
        name = (rows, is_one_answer)
        if name not in self._made:
            forms = [tuple(product.form(rows) for product in layer.products) for layer in self._layers]
            forms.append((self._head.form(rows),))
            self._made[name] = Workspace(rows, self._sizes, self.network.dtype, self.dtype, is_one_answer), forms
        return self._made[name]

    def _fused(self, index: int, names: Sequence[str]) -> Fused:
        paths = tuple(f"{self._prefix}{index}.{name}" for name in names)
        weights = [self.network.layers[path].weight for path in paths]
        norm = {"self_attn.q_proj": "input_layernorm", "mlp.gate_proj": "post_attention_layernorm"}.get(names[0])
        scale = None if norm is None else getattr(self._decoder.layers[index], norm).scale.to(self.dtype)
        return Fused(paths, tuple(len(weight) for weight in weights), weights[0].shape[1], scale)

    @property
    def _prefix(self) -> str:
        """The path before the number of a layer: `model.layers.` for Llama."""
        return next(path for path in self.network.layers if path.endswith(".0.self_attn.q_proj"))[
            : -len("0.self_attn.q_proj")
        ]

    def _prepare(self) -> None:
        if self._layers or self.native is not None:
            return
        self.native = NativeStep.of(self._parts(), self._read_four_bit) if self._is_compiled else None
        if self.native is not None:
            return
        is_wanted = self._read_four_bit is not None and self.network.dtype == torch.bfloat16
        four_bit = dict(self._read_four_bit()) if self._read_four_bit is not None and is_wanted else {}
        self._last_norm = self._norm(self._decoder.norm)
        head = self.network.head
        self._head = Product([head.weight], [head.bias], None)
        self._layers = [self._layer(index, module, four_bit) for index, module in enumerate(self._decoder.layers)]

    def _parts(self) -> ModelParts:
        head = self.network.head
        return ModelParts(
            layers=[self._layer_parts(index, module) for index, module in enumerate(self._decoder.layers)],
            embedding=self._decoder.embed_tokens.weight,
            head=(head.weight, head.bias),
            last_norm=_norm_parts(self._decoder.norm),
            rotary=self._decoder.rotary_emb,
            sizes=self._sizes,
            scaling=self._scaling,
        )

    def _layer_parts(self, index: int, module: Any) -> LayerParts:
        paths = [path for names in _FUSED for path in self._fused(index, names).paths]
        linear = {path: (self.network.layers[path].weight, self.network.layers[path].bias) for path in paths}
        attention = module.self_attn
        head_norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
        return LayerParts(
            linear=linear,
            norms=(_norm_parts(module.input_layernorm), _norm_parts(module.post_attention_layernorm)),
            head_norms=None if head_norms is None else (_norm_parts(head_norms[0]), _norm_parts(head_norms[1])),
            window=_window(self.network, module),
        )

    def _layer(self, index: int, module: Any, four_bit: dict[str, FourBitWeight]) -> _Layer:
        products = []
        for names in _FUSED:
            paths = self._fused(index, names).paths
            layers = [self.network.layers[path] for path in paths]
            given = [four_bit.pop(f"{path}.weight") for path in paths if f"{path}.weight" in four_bit]
            weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
            products.append(Product(weights, biases, given if len(given) == len(paths) else None))
        norms = self._norm(module.input_layernorm), self._norm(module.post_attention_layernorm)
        return _Layer(norms, tuple(products), self._head_norm(module.self_attn), _window(self.network, module))

    def _norm(self, module: Any) -> _Norm:
        return _Norm(module.scale.to(self.dtype), torch.full((1, 1, 1), module.epsilon, dtype=self.dtype))

    def _head_norm(self, attention: Any) -> _Norm | None:
        if not hasattr(attention, "q_norm"):
            return None
        query, key = self._norm(attention.q_norm), self._norm(attention.k_norm)
        scale = torch.cat((query.scale.expand(self._sizes.heads, -1), key.scale.expand(self._sizes.kinds, -1)))
        return _Norm(scale, query.epsilon.view(()))


def _norm_parts(module: Any) -> NormParts:
    return NormParts(module.scale, float(module.epsilon))


def is_recognised(network: Network) -> bool:
    """Say whether every part of a network is one that the lean step computes."""
    if network.family not in LEAN_FAMILIES or not network.is_packed or network.device.type != "cpu":
        return False
    decoder: Any = network.model.get_decoder()
    settings = network.config
    if settings.hidden_act not in ("silu", "swish") or network.head.softcap is not None:
        return False
    if getattr(decoder.rotary_emb, "rope_type", None) not in _STEADY_POSITIONS:
        return False
    norms = [decoder.norm]
    for layer in decoder.layers:
        attention = layer.self_attn
        norms += [layer.input_layernorm, layer.post_attention_layernorm]
        norms += [getattr(attention, name) for name in ("q_norm", "k_norm") if hasattr(attention, name)]
    known = tuple(f".{name}" for names in _FUSED for name in names)
    has_known_layers = all(path.endswith(known) for path in network.layers)
    return has_known_layers and len(network.layers) == len(known) * len(decoder.layers) and _are_ours(norms)


def _are_ours(norms: Sequence[object]) -> bool:
    return all(isinstance(norm, RMSNorm) for norm in norms)


def _window(network: Network, module: Any) -> int | None:
    """Return the sliding window of a layer in tokens; Mistral keeps it in its config, the others in the layer."""
    if network.family == "mistral":
        window = getattr(network.config, "sliding_window", None)
    else:
        window = getattr(module.self_attn, "sliding_window", None)
    return None if window is None else int(window)
